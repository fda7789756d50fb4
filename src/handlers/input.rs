//! What a handler is given: one request's parameters, as TorchServe's `RequestInput` has them.

use std::sync::Arc;

use bytes::Bytes;

use super::accept::Accept;

/// One request for a model, read from the wire and bounded in size, not yet interpreted.
///
/// TorchServe gives a handler a row of named parameters: the raw body is the parameter `body`; a
/// multipart or form field is a parameter of its own name (`reference`: TorchServe's
/// `InferenceRequestHandler.parseRequest`).
#[derive(Clone, Debug, Default)]
pub struct RequestInput {
    /// The parameters in the order they came; of a repeated name the last one counts.
    pub parameters: Vec<Parameter>,
    /// The request is for an explanation, not for a prediction.
    pub explain: bool,
    /// What follows the version in the path, as TorchServe's header `url_path`; else empty.
    pub url_path: String,
    /// The request's id, as its answer carries it.
    pub request_id: Arc<str>,
    /// Whose words the path is in.
    pub protocol: Protocol,
    /// Which forms of answer the client likes.
    pub accept: Accept,
    /// The sequence that it belongs to, as TorchServe's headers say it.
    pub sequence: SequenceCall,
}

/// What a request says of its sequence (`ts_request_sequence_id`, `_start`, `_end`). Of no meaning for a
/// model without `sequenceBatching`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceCall {
    /// The sequence; none to start one.
    pub id: Option<String>,
    /// The sequence begins anew with this request.
    pub start: bool,
    /// The sequence ends with this request.
    pub end: bool,
}

/// Which protocol a request's path belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// TorchServe's own routes.
    #[default]
    TorchServe,
    /// `/v1/models/{model}:predict`: a JSON object may hold `instances`.
    KServeV1,
    /// `/v2/models/{model}/infer`.
    OpenInference {
        /// `Inference-Header-Content-Length`: the length of the JSON that raw tensors follow.
        json_length: Option<usize>,
    },
}

/// One named part of a request.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Field name, or `body` for a raw body.
    pub name: String,
    /// The media type without its parameters, lower-case; none when the client sent none.
    pub content_type: Option<String>,
    /// The bytes as they came.
    pub value: Bytes,
}

// === impl RequestInput ===

impl RequestInput {
    /// A raw body: one parameter called `body`.
    pub fn body(content_type: Option<String>, value: Bytes) -> RequestInput {
        let body = Parameter { name: "body".to_owned(), content_type, value };
        RequestInput { parameters: vec![body], ..RequestInput::default() }
    }

    /// The last parameter called `name`.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().rev().find(|parameter| parameter.name == name)
    }

    /// The payload as TorchServe's default handlers find it: `row.get("data") or row.get("body")`,
    /// where an empty `data` falls through to `body`.
    pub fn payload(&self) -> Option<&Parameter> {
        let data = self.get("data").filter(|parameter| !parameter.value.is_empty());
        data.or_else(|| self.get("body")).or_else(|| self.get("data"))
    }

    /// Says that [`RequestInput::payload`] found nothing, and what came instead.
    pub(super) fn no_payload(&self) -> String {
        let names: Vec<_> = self.parameters.iter().take(8).map(|p| p.name.as_str()).collect();
        match names.as_slice() {
            [] => "the request has no body and no field `data` or `body`".to_owned(),
            names => format!("the request has no field `data` or `body`; its fields: {names:?}"),
        }
    }
}
