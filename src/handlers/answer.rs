//! Splits a model's result over the samples of its batch and writes each sample's answer.
//!
//! Called by `base.rs` on the worker. A sample's part is written from the batch's own tensors,
//! without a copy. Invariant: a batch of several samples is split only if every tensor in the result
//! has one row for each row that went in; otherwise nothing is answered and the batch is tried one
//! by one, where there is nothing to split.

use std::borrow::Cow;
use std::ops::Range;

use super::json_text::{Brackets, JsonText, Layout, text_size};
use super::open_inference_answer::{self, Output, OutputData, Served};
use super::open_inference_request::Wanted;
use super::{Asked, Form, HandlerError, Prediction, raw_tensor};
use crate::engine::{Elements, HostTensor, Value};

/// The rows of dimension 0 that belong to one sample.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The batch was this sample alone: everything is its own.
    Whole,
    /// Some rows of each tensor.
    Rows { start: usize, len: usize },
}

/// One answer per sample, in the order of `asked`.
///
/// # Errors
/// [`HandlerError::Model`] when the result cannot be split, [`HandlerError::BadInput`] when an
/// output is asked for that is not there.
pub(super) fn answers(
    served: &Served,
    output: &Value,
    asked: &[Asked],
) -> Result<Vec<Prediction>, HandlerError> {
    if let [only] = asked {
        return Ok(vec![answer(served, output, Part::Whole, &only.form)?]);
    }
    let total = asked
        .iter()
        .try_fold(0usize, |sum, asked| sum.checked_add(asked.rows))
        .ok_or_else(|| HandlerError::Model("the batch has too many rows".to_owned()))?;
    can_split(output, total, "output").map_err(HandlerError::Model)?;
    let mut start = 0;
    let answers = asked.iter().map(|asked| {
        let part = Part::Rows { start, len: asked.rows };
        start += asked.rows;
        answer(served, output, part, &asked.form)
    });
    answers.collect()
}

fn can_split(value: &Value, total: usize, name: &str) -> Result<(), String> {
    match value {
        Value::Tensor(tensor) if tensor.rows() == Some(total) => Ok(()),
        Value::Tensor(tensor) => {
            let shape = tensor.shape();
            Err(format!(
                "{name} has shape {shape:?}, which is not one row for each of {total} rows"
            ))
        }
        Value::None => Ok(()),
        Value::List(items) | Value::Tuple(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| can_split(item, total, &format!("{name}.{index}"))),
        Value::Dict(members) => members
            .iter()
            .try_for_each(|(key, item)| can_split(item, total, &format!("{name}.{key}"))),
        Value::Int(_) | Value::Double(_) | Value::Bool(_) | Value::Str(_) => {
            Err(format!("{name} is one value for the whole batch"))
        }
    }
}

fn answer(
    served: &Served,
    output: &Value,
    part: Part,
    form: &Form,
) -> Result<Prediction, HandlerError> {
    if let Form::OpenInference(wanted) = form {
        let mut found = Vec::new();
        outputs(&mut found, "output", output, part);
        return open_inference_answer::write(served, wanted, found);
    }
    if *form == Form::Raw {
        return raw(served, output, part);
    }
    let limit = served.max_response_size;
    let room = size(output, part).min(limit.saturating_add(1));
    let mut text = JsonText::with_capacity(Layout::Indented, room).cut_behind(limit);
    plain(&mut text, output, part);
    Ok(Prediction::json(text.into_bytes()))
}

/// The bytes of the tensor that the output is, its type and shape in headers; what is several tensors
/// comes in the Open Inference Protocol's binary form, which names them.
fn raw(served: &Served, output: &Value, part: Part) -> Result<Prediction, HandlerError> {
    let Value::Tensor(tensor) = output else {
        let mut found = Vec::new();
        outputs(&mut found, "output", output, part);
        let wanted = Wanted { binary: true, ..Wanted::default() };
        return open_inference_answer::write(served, &wanted, found);
    };
    let (shape, range) = rows(tensor, part);
    let shape = shape.strip_prefix(&[1]).unwrap_or(&shape);
    Ok(raw_tensor::answer(shape, tensor.elements(), range))
}

/// The value as plain JSON; a batch dimension of 1 is left out.
fn plain(text: &mut JsonText, value: &Value, part: Part) {
    match value {
        Value::Tensor(tensor) => {
            let (shape, range) = rows(tensor, part);
            let shape = shape.strip_prefix(&[1]).unwrap_or(&shape);
            text.elements(tensor.elements(), range, shape);
        }
        Value::List(items) | Value::Tuple(items) => {
            text.open(Brackets::Array);
            for item in items {
                text.item();
                plain(text, item, part);
            }
            text.close(Brackets::Array);
        }
        Value::Dict(members) => {
            text.open(Brackets::Object);
            for (key, item) in members {
                text.member(key);
                plain(text, item, part);
            }
            text.close(Brackets::Object);
        }
        Value::Int(_) | Value::Double(_) | Value::Bool(_) | Value::Str(_) | Value::None => {
            scalar(text, value);
        }
    }
}

/// The value as the protocol's outputs: `output`, `output.KEY`, `output.0`, `output.0.KEY`. Plain
/// values are tensors without dimensions, lists of them tensors of one; `None` is no output.
fn outputs<'a>(found: &mut Vec<Output<'a>>, name: &str, value: &'a Value, part: Part) {
    let mut push = |shape: Vec<usize>, data: OutputData<'a>| {
        found.push(Output { name: name.to_owned(), shape, data });
    };
    match value {
        Value::Tensor(tensor) => {
            let (shape, range) = rows(tensor, part);
            push(shape, OutputData::Numbers(Cow::Borrowed(tensor.elements()), range));
        }
        Value::List(items) | Value::Tuple(items) => {
            if let (Value::List(_), Some(data)) = (value, plain_values(items)) {
                return push(vec![items.len()], data);
            }
            for (index, item) in items.iter().enumerate() {
                outputs(found, &format!("{name}.{index}"), item, part);
            }
        }
        Value::Dict(members) => {
            for (key, item) in members {
                outputs(found, &format!("{name}.{key}"), item, part);
            }
        }
        Value::None => {}
        Value::Int(_) | Value::Double(_) | Value::Bool(_) | Value::Str(_) => {
            if let Some(data) = plain_values(std::slice::from_ref(value)) {
                push(Vec::new(), data);
            }
        }
    }
}

/// Plain values of one kind; none when they are others, or there are none.
fn plain_values(items: &[Value]) -> Option<OutputData<'_>> {
    fn all<'a, T>(items: &'a [Value], of: impl Fn(&'a Value) -> Option<T>) -> Option<Vec<T>> {
        items.iter().map(of).collect()
    }
    let elements = match items.first()? {
        Value::Str(_) => {
            let texts = all(items, |item| match item {
                Value::Str(text) => Some(Cow::Borrowed(text.as_str())),
                _ => None,
            });
            return texts.map(OutputData::Texts);
        }
        Value::Int(_) => {
            let one = |item: &Value| if let Value::Int(value) = item { Some(*value) } else { None };
            Elements::Int64(all(items, one)?)
        }
        Value::Double(_) => {
            let one =
                |item: &Value| if let Value::Double(value) = item { Some(*value) } else { None };
            Elements::Float64(all(items, one)?)
        }
        Value::Bool(_) => {
            let one = |item: &Value| {
                if let Value::Bool(value) = item { Some(u8::from(*value)) } else { None }
            };
            Elements::Bool(all(items, one)?)
        }
        Value::Tensor(_) | Value::None | Value::List(_) | Value::Tuple(_) | Value::Dict(_) => {
            return None;
        }
    };
    let range = 0..items.len();
    Some(OutputData::Numbers(Cow::Owned(elements), range))
}

fn scalar(text: &mut JsonText, value: &Value) {
    match value {
        Value::Int(value) => text.int(*value),
        Value::Double(value) => text.float(*value),
        Value::Bool(value) => text.bool(*value),
        Value::Str(value) => text.string(value),
        Value::None | Value::Tensor(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) => {
            text.null();
        }
    }
}

/// The shape and the range of elements of one sample's part.
fn rows(tensor: &HostTensor, part: Part) -> (Vec<usize>, Range<usize>) {
    let mut shape = tensor.shape().to_vec();
    let all = tensor.len();
    match part {
        Part::Rows { start, len } if !shape.is_empty() => {
            let stride = all.checked_div(shape[0]).unwrap_or(0);
            shape[0] = len;
            (shape, start * stride..(start + len) * stride)
        }
        _ => (shape, 0..all),
    }
}

/// About how many bytes the answer takes.
fn size(value: &Value, part: Part) -> usize {
    match value {
        Value::Tensor(tensor) => {
            let (shape, range) = rows(tensor, part);
            64 + text_size(tensor.elements(), range.len(), shape.len())
        }
        Value::List(items) | Value::Tuple(items) => {
            items.iter().fold(8, |sum, item| sum + size(item, part))
        }
        Value::Dict(members) => {
            members.iter().fold(8, |sum, (key, item)| sum + 8 + key.len() + size(item, part))
        }
        Value::Str(text) => 64 + text.len(),
        Value::Int(_) | Value::Double(_) | Value::Bool(_) | Value::None => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::{Requested, Wanted};

    fn float32(shape: &[usize], values: &[f32]) -> Value {
        Value::Tensor(HostTensor::new(shape.to_vec(), Elements::Float32(values.to_vec())).unwrap())
    }

    fn int64(shape: &[usize], values: &[i64]) -> Value {
        Value::Tensor(HostTensor::new(shape.to_vec(), Elements::Int64(values.to_vec())).unwrap())
    }

    fn asked(rows: usize, form: Form) -> Asked {
        Asked::new(rows, form)
    }

    fn served() -> Served {
        Served { name: "m".into(), version: "1.0".into(), max_response_size: usize::MAX }
    }

    fn texts(output: &Value, asked: &[Asked]) -> Result<Vec<String>, String> {
        let answers = answers(&served(), output, asked).map_err(|error| error.to_string())?;
        let text = |answer: Prediction| String::from_utf8(answer.body.to_vec()).unwrap();
        Ok(answers.into_iter().map(text).collect())
    }

    fn one(output: &Value, form: Form) -> String {
        texts(output, &[asked(1, form)]).unwrap().remove(0)
    }

    fn oip(wanted: Wanted) -> Form {
        Form::OpenInference(Box::new(wanted))
    }

    #[test]
    fn a_plain_answer_has_no_batch_dimension() {
        let output = float32(&[1, 3], &[-0.25, 0.1, f32::NAN]);
        assert_eq!(one(&output, Form::Plain), "[\n  -0.25,\n  0.10000000149011612,\n  NaN\n]");
        assert_eq!(one(&float32(&[2], &[1.0, 2.0]), Form::Plain), "[\n  1.0,\n  2.0\n]");
        assert_eq!(one(&float32(&[1], &[1.0]), Form::Plain), "1.0");
        assert_eq!(one(&float32(&[], &[1.0]), Form::Plain), "1.0");
        assert_eq!(one(&float32(&[1, 0], &[]), Form::Plain), "[]");
    }

    #[test]
    fn dicts_and_tuples_are_plain_json() {
        let output = Value::Tuple(vec![
            Value::Dict(vec![("sum".into(), float32(&[1], &[0.5])), ("n".into(), Value::Int(1))]),
            Value::None,
            Value::Str("é".into()),
            Value::List(vec![]),
        ]);
        assert_eq!(
            one(&output, Form::Plain),
            "[\n  {\n    \"sum\": 0.5,\n    \"n\": 1\n  },\n  null,\n  \"\\u00e9\",\n  []\n]"
        );
    }

    #[test]
    fn open_inference_outputs_are_named_by_their_place() {
        let output = Value::Tuple(vec![
            float32(&[1, 2], &[1.0, 2.0]),
            Value::Dict(vec![("max".into(), int64(&[1], &[3])), ("ok".into(), Value::Bool(true))]),
            Value::None,
            Value::Double(f64::INFINITY),
            Value::List(vec![Value::Str("x".into()), Value::Str("é".into())]),
        ]);
        assert_eq!(
            one(&output, oip(Wanted { id: Some("a\"b".into()), ..Wanted::default() })),
            concat!(
                r#"{"id":"a\"b","model_name":"m","model_version":"1.0","outputs":["#,
                r#"{"name":"output.0","shape":[1,2],"datatype":"FP32","data":[1.0,2.0]},"#,
                r#"{"name":"output.1.max","shape":[1],"datatype":"INT64","data":[3]},"#,
                r#"{"name":"output.1.ok","shape":[],"datatype":"BOOL","data":[true]},"#,
                r#"{"name":"output.3","shape":[],"datatype":"FP64","data":[Infinity]},"#,
                r#"{"name":"output.4","shape":[2],"datatype":"BYTES","data":["x","\u00e9"]}]}"#
            )
        );
        assert_eq!(
            one(&float32(&[], &[3.5]), oip(Wanted::default())),
            r#"{"model_name":"m","model_version":"1.0","outputs":[{"name":"output","shape":[],"datatype":"FP32","data":[3.5]}]}"#
        );
    }

    #[test]
    fn outputs_that_are_asked_for_come_in_that_order_and_as_bytes_where_wished() {
        let output = Value::Dict(vec![
            ("a".into(), float32(&[1, 2], &[1.0, 2.0])),
            ("b".into(), int64(&[1], &[3])),
            ("c".into(), Value::List(vec![Value::Str("é".into())])),
        ]);
        let named = |name: &str, binary| Requested { name: format!("output.{name}"), binary };
        let ask = |outputs, binary| {
            let form = oip(Wanted { outputs, binary, ..Wanted::default() });
            answers(&served(), &output, &[asked(1, form)]).map(|mut answers| answers.remove(0))
        };
        let swapped = ask(vec![named("b", None), named("a", Some(false))], false).unwrap();
        assert_eq!(swapped.content_type, "application/json");
        let text = String::from_utf8(swapped.body.to_vec()).unwrap();
        assert!(text.contains(r#""outputs":[{"name":"output.b""#) && !text.contains("output.c"));

        let mixed = ask(vec![named("c", None), named("b", Some(false)), named("a", None)], true);
        let mixed = mixed.unwrap();
        assert_eq!(mixed.content_type, "application/octet-stream");
        let [("inference-header-content-length", length)] = &mixed.headers[..] else {
            panic!("{:?}", mixed.headers)
        };
        let (json, raw) = mixed.body.split_at(length.parse().unwrap());
        let json = std::str::from_utf8(json).unwrap();
        assert!(
            json.contains(r#""datatype":"BYTES","parameters":{"binary_data_size":6}}"#),
            "{json}"
        );
        assert!(json.contains(r#""datatype":"INT64","data":[3]}"#), "{json}");
        assert_eq!(
            raw,
            [&[2, 0, 0, 0][..], "é".as_bytes(), &[0, 0, 128, 63, 0, 0, 0, 64]].concat()
        );

        let error = ask(vec![named("d", None)], false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unexpected inference output `output.d` for model `m`; it has: output.a, output.b, output.c"
        );
    }

    #[test]
    fn each_sample_gets_its_own_rows() {
        let output = Value::Tuple(vec![float32(&[4, 1], &[1.0, 2.0, 3.0, 4.0]), Value::None]);
        let asked =
            [asked(1, Form::Plain), asked(2, oip(Wanted::default())), asked(1, Form::Plain)];
        let texts = texts(&output, &asked).unwrap();
        assert_eq!(texts[0], "[\n  [\n    1.0\n  ],\n  null\n]");
        assert!(texts[1].contains(r#""shape":[2,1],"datatype":"FP32","data":[2.0,3.0]"#));
        assert_eq!(texts[2], "[\n  [\n    4.0\n  ],\n  null\n]");
    }

    #[test]
    fn a_result_that_is_not_one_row_per_row_is_not_split() {
        let asked = [asked(1, Form::Plain), asked(1, Form::Plain)];
        let keyed = |value| Value::Dict(vec![("a".into(), Value::List(vec![value]))]);
        for (output, error) in [
            (
                keyed(float32(&[3, 1], &[0.0; 3])),
                "output.a.0 has shape [3, 1], which is not one row",
            ),
            (keyed(float32(&[], &[0.0])), "output.a.0 has shape []"),
            (Value::Int(2), "output is one value for the whole batch"),
            (keyed(Value::Str("x".into())), "output.a.0 is one value"),
        ] {
            let got = texts(&output, &asked).unwrap_err();
            assert!(got.starts_with(error), "{got}");
            assert!(texts(&output, &asked[..1]).is_ok());
        }
    }
}
