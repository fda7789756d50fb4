//! One registered model, with what it takes and an example. PURE.

use serde_json::{Value, json};

use super::inference::{any_body, predicting};
use super::{DescribedModel, DescribedTensor};

/// Elements of an example; more would hide the document.
const MAX_EXAMPLE: i64 = 64;

/// `/predictions/{model}` of this model.
pub(super) fn path(model: &DescribedModel) -> (String, Value) {
    let path = format!("/predictions/{}", model.name);
    let about = format!("A prediction of {}, by default version {}", model.name, model.version);
    let mut post = predicting(&format!("predict.{}", model.name), &about);
    let tensors: Vec<_> = model.inputs.iter().map(DescribedTensor::described).collect();
    if !tensors.is_empty() {
        post["description"] = format!("It takes {}.", tensors.join(", ")).into();
    }
    post["requestBody"] = json!({"required": true, "content": body(model)});
    let outputs: Vec<_> = model.outputs.iter().map(DescribedTensor::described).collect();
    if !outputs.is_empty() {
        post["responses"]["200"]["description"] =
            format!("It gives {}.", outputs.join(", ")).into();
    }
    (path, json!({ "post": post }))
}

fn body(model: &DescribedModel) -> Value {
    let bytes = json!({"schema": {"type": "string", "format": "binary"}});
    match model.inputs.as_slice() {
        [one] if one.datatype == "BYTES" => {
            let file = json!({
                "type": "object",
                "required": [one.name],
                "properties": {(one.name.as_str()): {"type": "string", "format": "binary"}},
            });
            json!({
                "image/*": bytes,
                "application/octet-stream": bytes,
                "multipart/form-data": {"schema": file},
            })
        }
        [one] => {
            let mut body = any_body("/predictions");
            if let Some(example) = one.example() {
                body["application/json"]["example"] = example;
            }
            body
        }
        _ => any_body("/predictions"),
    }
}

// === impl DescribedTensor ===

impl DescribedTensor {
    fn described(&self) -> String {
        format!("{} {}{:?}", self.name, self.datatype, self.shape)
    }

    /// One sample of zeros, without the batch dimension.
    fn example(&self) -> Option<Value> {
        let [_, sample @ ..] = self.shape.as_slice() else { return None };
        if sample.is_empty() || sample.iter().any(|size| *size < 1) {
            return None;
        }
        let elements = sample.iter().try_fold(1i64, |all, size| all.checked_mul(*size))?;
        if elements > MAX_EXAMPLE {
            return None;
        }
        let zero = match self.datatype {
            "BOOL" => json!(false),
            "FP16" | "BF16" | "FP32" | "FP64" => json!(0.0),
            "ANY" | "BYTES" => return None,
            _ => json!(0),
        };
        let nest = |inner: Value, size: &i64| (0..*size).map(|_| inner.clone()).collect::<Value>();
        Some(sample.iter().rev().fold(zero, nest))
    }
}
