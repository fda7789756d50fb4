//! Writes the answer of the Open Inference Protocol: JSON, and raw tensors behind it where they were
//! asked for.
//!
//! Called by `answer.rs` and `image/classifier.rs` on the worker, with the outputs that a model has.

use std::borrow::Cow;
use std::ops::Range;

use super::json_text::{Brackets, JsonText, Layout, text_size};
use super::open_inference_request::Wanted;
use super::raw_tensor::{write_elements, write_string};
use super::{HandlerError, HandlerSettings, Prediction};
use crate::engine::Elements;

/// The model that answers.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) name: String,
    pub(super) version: String,
    /// In bytes; an answer that grows longer is refused, and is not finished.
    pub(super) max_response_size: usize,
}

/// One output, before it is written.
pub(super) struct Output<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) data: OutputData<'a>,
}

/// The elements of an output.
pub(super) enum OutputData<'a> {
    /// Some elements of a tensor of the batch, or of an own one.
    Numbers(Cow<'a, Elements>, Range<usize>),
    /// BYTES.
    Texts(Vec<Cow<'a, str>>),
    /// BYTES that are JSON, written as the JSON that they are: TorchServe's form.
    Json(Vec<Vec<u8>>),
}

/// Says where the JSON ends and raw tensors begin.
const JSON_LENGTH: &str = "inference-header-content-length";

// === impl Served ===

impl Served {
    pub(super) fn new(settings: &HandlerSettings<'_>) -> Served {
        Served {
            name: settings.model.to_owned(),
            version: settings.version.to_owned(),
            max_response_size: settings.max_response_size,
        }
    }
}

/// The answer: the outputs that `wanted` names, or all of them.
///
/// # Errors
/// [`HandlerError::BadInput`] when it names one that is not there.
pub(super) fn write(
    served: &Served,
    wanted: &Wanted,
    outputs: Vec<Output<'_>>,
) -> Result<Prediction, HandlerError> {
    let chosen = choose(served, wanted, &outputs)?;
    let room = chosen.iter().map(|(output, binary)| output.room(*binary)).sum::<usize>();
    let limit = served.max_response_size;
    let room = (128 + room).min(limit.saturating_add(1));
    let mut text = JsonText::with_capacity(Layout::Compact, room).cut_behind(limit);
    let mut raw = Vec::new();
    text.open(Brackets::Object);
    if let Some(id) = &wanted.id {
        text.member("id");
        text.string(id);
    }
    text.member("model_name");
    text.string(&served.name);
    text.member("model_version");
    text.string(&served.version);
    text.member("outputs");
    text.open(Brackets::Array);
    for (output, binary) in &chosen {
        text.item();
        output.write(&mut text, binary.then_some(&mut raw));
    }
    text.close(Brackets::Array);
    text.close(Brackets::Object);
    let mut body = text.into_bytes();
    if !chosen.iter().any(|(_, binary)| *binary) {
        return Ok(Prediction::json(body));
    }
    let json_length = body.len().to_string();
    body.extend_from_slice(&raw);
    let mut prediction = Prediction::new("application/octet-stream", body);
    prediction.headers.push((JSON_LENGTH, json_length.into()));
    Ok(prediction)
}

/// The outputs that are written, and whether as bytes.
fn choose<'o, 'a>(
    served: &Served,
    wanted: &Wanted,
    outputs: &'o [Output<'a>],
) -> Result<Vec<(&'o Output<'a>, bool)>, HandlerError> {
    if wanted.outputs.is_empty() {
        return Ok(outputs.iter().map(|output| (output, wanted.binary)).collect());
    }
    let of = |name: &str| outputs.iter().find(|output| output.name == name);
    wanted
        .outputs
        .iter()
        .map(|asked| {
            let output = of(&asked.name).ok_or_else(|| {
                let names: Vec<_> = outputs.iter().map(|output| output.name.as_str()).collect();
                HandlerError::BadInput(format!(
                    "unexpected inference output `{}` for model `{}`; it has: {}",
                    asked.name,
                    served.name,
                    names.join(", ")
                ))
            })?;
            Ok((output, asked.binary.unwrap_or(wanted.binary)))
        })
        .collect()
}

// === impl Output ===

impl Output<'_> {
    fn datatype(&self) -> &'static str {
        match &self.data {
            OutputData::Numbers(elements, _) => elements.dtype().oip_name(),
            OutputData::Texts(_) | OutputData::Json(_) => "BYTES",
        }
    }

    /// About how many bytes it takes in the JSON.
    fn room(&self, binary: bool) -> usize {
        64 + self.name.len()
            + match &self.data {
                _ if binary => 32,
                OutputData::Numbers(elements, range) => text_size(elements, range.len(), 1),
                OutputData::Texts(texts) => texts.iter().map(|text| text.len() + 3).sum(),
                OutputData::Json(texts) => texts.iter().map(|text| text.len() + 1).sum(),
            }
    }

    fn write(&self, text: &mut JsonText, raw: Option<&mut Vec<u8>>) {
        text.open(Brackets::Object);
        text.member("name");
        text.string(&self.name);
        text.member("shape");
        text.open(Brackets::Array);
        for size in &self.shape {
            text.item();
            text.int(i64::try_from(*size).unwrap_or(i64::MAX));
        }
        text.close(Brackets::Array);
        text.member("datatype");
        text.string(self.datatype());
        match raw {
            None => {
                text.member("data");
                self.write_data(text);
            }
            Some(raw) => {
                let before = raw.len();
                self.write_raw(raw);
                text.member("parameters");
                text.open(Brackets::Object);
                text.member("binary_data_size");
                text.int(i64::try_from(raw.len() - before).unwrap_or(i64::MAX));
                text.close(Brackets::Object);
            }
        }
        text.close(Brackets::Object);
    }

    fn write_data(&self, text: &mut JsonText) {
        match &self.data {
            OutputData::Numbers(elements, range) => {
                text.elements(elements, range.clone(), &[range.len()]);
            }
            OutputData::Texts(texts) => {
                text.open(Brackets::Array);
                for each in texts {
                    text.item();
                    text.string(each);
                }
                text.close(Brackets::Array);
            }
            OutputData::Json(texts) => {
                text.open(Brackets::Array);
                for each in texts {
                    text.item();
                    text.json(each);
                }
                text.close(Brackets::Array);
            }
        }
    }

    fn write_raw(&self, raw: &mut Vec<u8>) {
        match &self.data {
            OutputData::Numbers(elements, range) => write_elements(raw, elements, range.clone()),
            OutputData::Texts(texts) => {
                texts.iter().for_each(|text| write_string(raw, text.as_bytes()));
            }
            OutputData::Json(texts) => texts.iter().for_each(|text| write_string(raw, text)),
        }
    }
}
