//! The outputs that an operator declares in `model-config.yaml`, and what is made of them before they
//! are told. PURE.
//!
//! Read once by `base.rs`. The key is optional and is a list; with it, only what it names is answered:
//!
//! ```yaml
//! outputs:
//!   - name: class            # what clients read; without it, the result's own name
//!     from: output.logits    # the result: output, output.KEY, output.0; without it, in order
//!     datatype: FP32         # optional, with the shape: a result that is not so is the model's fault
//!     shape: [-1, 10]        # the batch dimension first; -1 or a name stands for any size
//!     activation: softmax    # none, softmax or sigmoid of the last dimension
//!     top_k: 3               # the best of it, best first
//!     labels: true           # by their names in index_to_name.json; or a list of names
//! ```

use std::borrow::Cow;

use serde_json::Value as Json;

use super::activation::{Activation, best, floats};
use super::declared::Declared;
use super::json_rows::classes;
use super::json_text::{Brackets, JsonText, Layout};
use super::labels::Labels;
use super::open_inference_answer::{self, Output, OutputData, Served};
use super::{Asked, Form, HandlerError, HandlerSettings, Prediction, TensorMetadata};
use crate::engine::{Elements, HostTensor, Value};

/// One declared output.
#[derive(Debug)]
pub(super) struct DeclaredOutput {
    name: Option<String>,
    from: Option<String>,
    tensor: Option<Declared>,
    activation: Activation,
    classes: Option<Classes>,
}

/// Labels and numbers in place of a row.
#[derive(Debug)]
struct Classes {
    labels: Labels,
    top: Option<usize>,
}

/// A result as it is told.
struct Told<'a> {
    name: Cow<'a, str>,
    tensor: Cow<'a, HostTensor>,
    classes: Option<&'a Classes>,
}

// === impl DeclaredOutput ===

impl DeclaredOutput {
    /// Reads the key `outputs` of a `model-config.yaml`; empty when it is not there.
    ///
    /// # Errors
    /// [`HandlerError::Model`] that names the entry and what it should be.
    pub(super) fn read_all(
        settings: &HandlerSettings<'_>,
    ) -> Result<Vec<DeclaredOutput>, HandlerError> {
        let outputs = match settings.model_config.get("outputs") {
            None | Some(Json::Null) => return Ok(Vec::new()),
            Some(Json::Array(outputs)) => outputs,
            Some(_) => return Err(wrong("", "must be a list of maps")),
        };
        let one = |(index, output): (usize, &Json)| {
            DeclaredOutput::read(output, settings.index_to_name, &format!("[{index}]"))
        };
        outputs.iter().enumerate().map(one).collect()
    }

    fn read(
        output: &Json,
        index_to_name: Option<&[u8]>,
        place: &str,
    ) -> Result<DeclaredOutput, HandlerError> {
        let known = ["name", "from", "datatype", "shape", "activation", "top_k", "labels"];
        let Some(members) = output.as_object() else {
            return Err(wrong(place, &format!("must be a map of {known:?}")));
        };
        if let Some(odd) = members.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(wrong(place, &format!("has an unknown key `{odd}`; known: {known:?}")));
        }
        let text = |key: &str| match members.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(place, &format!("{key} must be a string"))),
        };
        let tensor = match (members.get("datatype"), members.get("shape")) {
            (None, None) => None,
            _ => {
                let datatype = members.get("datatype").cloned().unwrap_or_default();
                let shape = members.get("shape").cloned().unwrap_or_default();
                let tensor = serde_json::json!({ "datatype": datatype, "shape": shape });
                Some(Declared::read_for(&tensor, "outputs", place)?)
            }
        };
        let activation = match text("activation")? {
            None => Activation::None,
            Some(name) => {
                let found = Activation::NAMES.iter().find(|(known, _)| *known == name);
                let known = Activation::NAMES.map(|(known, _)| known).join(", ");
                found
                    .map(|(_, activation)| *activation)
                    .ok_or_else(|| wrong(place, &format!("activation must be one of {known}")))?
            }
        };
        let top = match members.get("top_k") {
            None | Some(Json::Null) => None,
            Some(top) => {
                let top = top.as_u64().and_then(|top| usize::try_from(top).ok());
                let top = top.filter(|top| *top > 0);
                Some(top.ok_or_else(|| wrong(place, "top_k must be 1 or more"))?)
            }
        };
        let labels = match members.get("labels") {
            None | Some(Json::Null | Json::Bool(false)) => None,
            Some(Json::Bool(true)) => Some(Labels::read(index_to_name)?),
            Some(Json::Array(names)) if names.iter().all(Json::is_string) => {
                let names = serde_json::json!({ "object_type_names": names });
                Some(Labels::read(Some(names.to_string().as_bytes()))?)
            }
            Some(_) => return Err(wrong(place, "labels must be true or a list of names")),
        };
        let classes = match (labels, top) {
            (None, None) => None,
            (labels, top) => Some(Classes { labels: labels.unwrap_or_default(), top }),
        };
        Ok(DeclaredOutput { name: text("name")?, from: text("from")?, tensor, activation, classes })
    }

    /// In the protocol's words.
    pub(super) fn metadata(&self) -> TensorMetadata {
        let name = self.name.as_deref().or(self.from.as_deref()).unwrap_or("output");
        match &self.tensor {
            Some(tensor) => TensorMetadata::tensor(name, tensor.dtype, tensor.shape.as_deref()),
            None => TensorMetadata::unknown(name),
        }
    }

    fn told<'a>(
        &'a self,
        results: &[(String, &'a HostTensor)],
        place: usize,
    ) -> Result<Told<'a>, HandlerError> {
        let found = match &self.from {
            Some(from) => results.iter().find(|(name, _)| name == from),
            None => results.get(place),
        };
        let Some((own_name, tensor)) = found else {
            let names: Vec<_> = results.iter().map(|(name, _)| name.as_str()).collect();
            let wanted = self.from.clone().unwrap_or_else(|| format!("number {place}"));
            return Err(HandlerError::Model(format!(
                "outputs: the model returned no tensor {wanted}; it has {}",
                names.join(", ")
            )));
        };
        if let Some(declared) = &self.tensor {
            declared
                .check(tensor.dtype(), tensor.shape())
                .map_err(|reason| HandlerError::Model(format!("outputs: {own_name}: {reason}")))?;
        }
        let name = self.name.clone().unwrap_or_else(|| own_name.clone());
        let last = tensor.shape().last().copied().unwrap_or(1).max(1);
        let tensor = match (self.activation, &self.classes) {
            (Activation::None, None) => Cow::Borrowed(*tensor),
            (activation, _) => {
                let numbers = floats(tensor).ok_or_else(|| {
                    HandlerError::Model(format!("outputs: {own_name} is not of floats"))
                })?;
                let mut numbers = numbers.into_owned();
                numbers.chunks_exact_mut(last).for_each(|row| activation.apply(row));
                let shape = tensor.shape().to_vec();
                let applied = HostTensor::new(shape, Elements::Float32(numbers));
                Cow::Owned(applied.map_err(|error| HandlerError::Model(error.to_string()))?)
            }
        };
        if self.classes.is_some() && tensor.shape().len() != 2 {
            return Err(HandlerError::Model(format!(
                "outputs: {own_name}: labels and top_k need the shape [rows, classes], got {:?}",
                tensor.shape()
            )));
        }
        Ok(Told { name: name.into(), tensor, classes: self.classes.as_ref() })
    }
}

/// One answer for each sample, of the declared outputs alone.
///
/// # Errors
/// [`HandlerError::Model`] when the result has them not, or cannot be split.
pub(super) fn answers(
    declared: &[DeclaredOutput],
    served: &Served,
    output: &Value,
    asked: &[Asked],
) -> Result<Vec<Prediction>, HandlerError> {
    let mut results = Vec::new();
    tensors(&mut results, "output", output);
    let told = declared.iter().enumerate().map(|(place, output)| output.told(&results, place));
    let told: Vec<Told<'_>> = told.collect::<Result<_, _>>()?;
    let total: usize = asked.iter().map(|asked| asked.rows).sum();
    if asked.len() > 1
        && let Some(odd) = told.iter().find(|told| told.tensor.rows() != Some(total))
    {
        return Err(HandlerError::Model(format!(
            "{} has shape {:?}, which is not one row for each of {total} rows",
            odd.name,
            odd.tensor.shape()
        )));
    }
    let mut start = 0;
    let answer = |own: &Asked| {
        let mut parts = Vec::with_capacity(told.len());
        for each in &told {
            let tensor = match asked.len() {
                1 => each.tensor.clone().into_owned(),
                _ => each
                    .tensor
                    .narrow(start, own.rows)
                    .map_err(|error| HandlerError::Model(error.to_string()))?,
            };
            parts.push(Told {
                name: each.name.clone(),
                tensor: Cow::Owned(tensor),
                classes: each.classes,
            });
        }
        start += own.rows;
        match &own.form {
            Form::OpenInference(wanted) => {
                let outputs = parts.iter().flat_map(Told::outputs).collect();
                open_inference_answer::write(served, wanted, outputs)
            }
            _ => Ok(plain(&parts)),
        }
    };
    asked.iter().map(answer).collect()
}

fn plain(parts: &[Told<'_>]) -> Prediction {
    let mut text = JsonText::with_capacity(Layout::Indented, 256);
    if let [only] = parts {
        only.write(&mut text);
    } else {
        text.open(Brackets::Object);
        for part in parts {
            text.member(&part.name);
            part.write(&mut text);
        }
        text.close(Brackets::Object);
    }
    Prediction::json(text.into_bytes())
}

/// Every tensor of a result with its name.
fn tensors<'a>(found: &mut Vec<(String, &'a HostTensor)>, name: &str, value: &'a Value) {
    match value {
        Value::Tensor(tensor) => found.push((name.to_owned(), tensor)),
        Value::List(items) | Value::Tuple(items) => {
            for (index, item) in items.iter().enumerate() {
                tensors(found, &format!("{name}.{index}"), item);
            }
        }
        Value::Dict(members) => {
            for (key, item) in members {
                tensors(found, &format!("{name}.{key}"), item);
            }
        }
        _ => {}
    }
}

// === impl Told ===

impl Told<'_> {
    /// The rows, each with its best classes.
    fn rows(&self, classes: &Classes) -> Vec<(Vec<f32>, Vec<usize>)> {
        let numbers = floats(&self.tensor).unwrap_or_default();
        let count = self.tensor.shape().last().copied().unwrap_or(1).max(1);
        let row = |row: &[f32]| (row.to_vec(), best(row, classes.top.unwrap_or(count)));
        numbers.chunks_exact(count).map(row).collect()
    }

    fn write(&self, text: &mut JsonText) {
        let Some(own) = self.classes else {
            let shape = self.tensor.shape();
            let shape = shape.strip_prefix(&[1]).unwrap_or(shape);
            return text.elements(self.tensor.elements(), 0..self.tensor.len(), shape);
        };
        match self.rows(own).as_slice() {
            [(numbers, order)] => classes(text, &own.labels, numbers, order),
            rows => {
                text.open(Brackets::Array);
                for (numbers, order) in rows {
                    text.item();
                    classes(text, &own.labels, numbers, order);
                }
                text.close(Brackets::Array);
            }
        }
    }

    /// One output; of classes two, the numbers and, as `NAME_labels`, what they are.
    fn outputs(&self) -> Vec<Output<'static>> {
        let numbers = |elements: Elements, shape: Vec<usize>| {
            let range = 0..elements.len();
            let data = OutputData::Numbers(Cow::Owned(elements), range);
            Output { name: self.name.clone().into_owned(), shape, data }
        };
        let Some(own) = self.classes else {
            return vec![numbers(self.tensor.elements().clone(), self.tensor.shape().to_vec())];
        };
        let rows = self.rows(own);
        let shape = vec![rows.len(), rows.first().map_or(0, |(_, order)| order.len())];
        let pairs =
            rows.iter().flat_map(|(row, order)| order.iter().map(move |class| (row, *class)));
        let values: Vec<f32> = pairs.clone().map(|(row, class)| row[class]).collect();
        let names = pairs.map(|(_, class)| Cow::Owned(own.labels.name(class).into_owned()));
        let names = OutputData::Texts(names.collect());
        let name = format!("{}_labels", self.name);
        vec![numbers(Elements::Float32(values), shape.clone()), Output { name, shape, data: names }]
    }
}

fn wrong(place: &str, what: &str) -> HandlerError {
    HandlerError::Model(format!("model-config.yaml: outputs{place} {what}"))
}

#[cfg(test)]
#[path = "declared_outputs_tests.rs"]
mod tests;
