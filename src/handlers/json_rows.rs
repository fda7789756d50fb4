//! Writes answers that are JSON for each text or sound, in the form in which the request came.
//!
//! Called by `text/` and `audio/`.

use std::borrow::Cow;

use super::json_text::{Brackets, JsonText, Layout};
use super::labels::Labels;
use super::open_inference_answer::{self, Output, OutputData, Served};
use super::{Form, HandlerError, Prediction};

/// The name of the one output in the Open Inference Protocol.
pub(super) const OUTPUT: &str = "output";

/// The answer to one request of `count` texts or sounds; `one` writes what is said of one.
///
/// # Errors
/// [`HandlerError::BadInput`] when an output is asked for that is not there.
pub(super) fn write(
    served: &Served,
    form: &Form,
    is_list: bool,
    count: usize,
    one: impl Fn(&mut JsonText, usize),
) -> Result<Prediction, HandlerError> {
    let Form::OpenInference(wanted) = form else {
        let mut text = JsonText::with_capacity(Layout::Indented, 64 + 64 * count);
        if is_list {
            text.open(Brackets::Array);
            for index in 0..count {
                text.item();
                one(&mut text, index);
            }
            text.close(Brackets::Array);
        } else {
            one(&mut text, 0);
        }
        return Ok(Prediction::json(text.into_bytes()));
    };
    let mut rows = (0..count).map(|index| {
        let mut text = JsonText::with_capacity(Layout::Compact, 128);
        one(&mut text, index);
        text.into_bytes()
    });
    let outputs = match &wanted.named_after {
        None => {
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned().into();
            let data = OutputData::Texts(rows.map(text).collect());
            vec![Output { name: OUTPUT.to_owned(), shape: vec![count], data }]
        }
        Some(inputs) => {
            let output = |(name, rows_of_it): &(String, usize)| Output {
                name: name.clone(),
                shape: vec![*rows_of_it],
                data: OutputData::Json(rows.by_ref().take(*rows_of_it).collect()),
            };
            inputs.iter().map(output).collect()
        }
    };
    open_inference_answer::write(served, wanted, outputs)
}

/// Labels and numbers as a JSON object. As in a Python dict, a label that comes again keeps its place
/// and takes the later number.
pub(super) fn classes(text: &mut JsonText, labels: &Labels, numbers: &[f32], order: &[usize]) {
    let mut members: Vec<(Cow<'_, str>, f32)> = Vec::with_capacity(order.len());
    for class in order {
        let name = labels.name(*class);
        match members.iter_mut().find(|member| member.0 == name) {
            Some(member) => member.1 = numbers[*class],
            None => members.push((name, numbers[*class])),
        }
    }
    text.open(Brackets::Object);
    for (name, number) in &members {
        text.member(name);
        text.float(f64::from(*number));
    }
    text.close(Brackets::Object);
}
