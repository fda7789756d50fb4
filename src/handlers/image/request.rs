//! What a request for pictures may be. PURE.
//!
//! Called by the image handlers, which make a tensor of a picture's bytes. A request is those
//! bytes, their base64 text (as `text/plain`, a JSON string, a `data:` URL, or in a JSON object under
//! `data` or `body`), a JSON array that is the finished tensor without its batch dimension, which is
//! passed on as it is, or a request of the Open Inference Protocol with pictures or finished tensors.

use bytes::Bytes;

use super::decode::looks_like_image;
use crate::engine::{DType, HostTensor};
use crate::handlers::file_request::{Object, from_base64, object};
use crate::handlers::json::{JsonError, Kind, Scanner};
use crate::handlers::number_array::{ElementType, number_array};
use crate::handlers::open_inference::Input;
use crate::handlers::open_inference_request::{Request, Wanted, split};
use crate::handlers::{Form, HandlerError, Parameter, Protocol};

/// What a request was read as: rows of pictures, with their batch dimension, and their form.
pub(super) struct Pictures {
    /// At least one, in the order of the request.
    pub(super) tensors: Vec<HostTensor>,
    pub(super) form: Form,
}

/// Reads requests.
pub(super) struct Reader<'a> {
    /// The tensor of a picture's bytes, without a batch dimension.
    pub(super) picture: &'a dyn Fn(&[u8]) -> Result<HostTensor, HandlerError>,
    /// Open Inference answers have TorchServe's form: the envelope `kservev2`.
    pub(super) torchserves_outputs: bool,
}

/// The most pictures of one input: they are decoded one after the other.
const MAX_PICTURES: usize = 256;

/// The most elements of a request's tensors together; a picture of 4096 x 4096 in three channels
/// fits.
pub(super) const MAX_ELEMENTS: usize = 1 << 26;

/// What a request may hold; the end of every error about something else.
pub(super) const FORMS: &str = "send the bytes of an image (JPEG, PNG, GIF, WebP, BMP, TIFF), or its base64 \
text as text/plain or as a JSON string";

// === impl Pictures ===

impl Pictures {
    /// Every picture by itself, without a batch dimension.
    pub(super) fn one_by_one(self) -> Vec<HostTensor> {
        let mut all = Vec::new();
        for tensor in self.tensors {
            match tensor.squeeze() {
                Ok(one) => all.push(one),
                Err(several) => all.extend((0..several.rows().unwrap_or(0)).filter_map(|row| {
                    several.narrow(row, 1).ok().and_then(|row| row.squeeze().ok())
                })),
            }
        }
        all
    }

    /// All rows in one tensor.
    ///
    /// # Errors
    /// [`HandlerError::BadInput`]: they have several sizes.
    pub(super) fn joined(self) -> Result<(HostTensor, Form), HandlerError> {
        let tensor = HostTensor::concat(self.tensors).map_err(|_| {
            bad_input("the inputs hold pictures of several sizes; send them one by one".to_owned())
        })?;
        Ok((tensor, self.form))
    }
}

// === impl Reader ===

impl Reader<'_> {
    /// The pictures of a payload.
    ///
    /// # Errors
    /// [`HandlerError::BadInput`], and what the reason is.
    pub(super) fn read(
        &self,
        protocol: Protocol,
        payload: &Parameter,
    ) -> Result<Pictures, HandlerError> {
        match split(protocol, payload).map_err(HandlerError::BadInput)? {
            (json, Some(raw)) => self.json(json, Some(raw)),
            (_, None) => self.value(payload),
        }
    }

    /// The value of a parameter as TorchServe sees it: parsed if JSON, base64 if text, else bytes.
    fn value(&self, payload: &Parameter) -> Result<Pictures, HandlerError> {
        let bytes = &*payload.value;
        if bytes.is_empty() {
            return Err(HandlerError::BadInput(format!("the body is empty; {FORMS}")));
        }
        let one =
            |tensor: HostTensor| Pictures { tensors: vec![tensor.unsqueeze()], form: Form::Plain };
        match payload.content_type.as_deref() {
            _ if looks_like_image(bytes) => (self.picture)(bytes).map(one),
            Some("application/json") => self.json(bytes, None),
            Some(media) if media.starts_with("text") => self.base64(bytes).map(one),
            // An undeclared type, or the one that curl gives by itself: text only if it is text.
            None | Some("application/x-www-form-urlencoded") if bytes.is_ascii() => {
                if Scanner::looks_like_json(bytes) || bytes.starts_with(b"\"") {
                    self.json(bytes, None)
                } else {
                    self.base64(bytes).map(one)
                }
            }
            _ if Scanner::looks_like_json(bytes) => self.json(bytes, None),
            _ => (self.picture)(bytes).map(one),
        }
    }

    /// `raw` is what follows the JSON.
    fn json(&self, bytes: &[u8], raw: Option<Bytes>) -> Result<Pictures, HandlerError> {
        let one =
            |tensor: HostTensor| Pictures { tensors: vec![tensor.unsqueeze()], form: Form::Plain };
        let mut scanner = Scanner::new(bytes);
        let kind = scanner.kind().map_err(bad)?;
        if kind != Kind::Object {
            let tensor = self.json_value(&mut scanner)?;
            scanner.end().map_err(bad)?;
            return Ok(one(tensor));
        }
        match object(&mut scanner, raw).map_err(bad)? {
            Object::Request(request) => self.open_inference(request),
            Object::Value(mut start) => self.json_value(&mut start).map(one),
            Object::Nothing => Err(HandlerError::BadInput(format!(
                "the JSON object has none of `data`, `body` and `inputs`; {FORMS}"
            ))),
        }
    }

    /// One row for each picture of the inputs, in their order.
    fn open_inference(&self, request: Request<'_>) -> Result<Pictures, HandlerError> {
        let mut tensors: Vec<HostTensor> = Vec::new();
        let mut named_after = Vec::with_capacity(request.inputs.len());
        for (index, input) in request.inputs.iter().enumerate() {
            let before: usize = tensors.iter().filter_map(HostTensor::rows).sum();
            self.input(input, &mut tensors)
                .map_err(|reason| bad_input(format!("/inputs/{index}: {reason}")))?;
            let rows: usize = tensors.iter().filter_map(HostTensor::rows).sum();
            named_after.push((input.name().to_owned(), rows - before));
        }
        if tensors.is_empty() {
            return Err(bad_input(format!("the inputs hold no pictures; {FORMS}")));
        }
        let named_after = self.torchserves_outputs.then_some(named_after);
        let wanted = Wanted { named_after, ..request.wanted };
        Ok(Pictures { tensors, form: Form::OpenInference(Box::new(wanted)) })
    }

    /// The pictures of one input, or the finished tensor that it is.
    fn input(&self, input: &Input<'_>, tensors: &mut Vec<HostTensor>) -> Result<(), String> {
        let Some(strings) = input.strings().map_err(|error| error.to_string())? else {
            let tensor = input.tensor().map_err(|error| error.to_string())?;
            if tensor.dtype() != DType::Float32 || tensor.shape().len() != 4 {
                let reason = "expected BYTES, or FP32 of shape [rows, channels, height, width]";
                return Err(reason.to_owned());
            }
            tensors.push(tensor);
            return Ok(());
        };
        if strings.len() > MAX_PICTURES {
            return Err(format!("{} pictures; at most {MAX_PICTURES}", strings.len()));
        }
        for (at, string) in strings.iter().enumerate() {
            let tensor = match looks_like_image(string) || !string.is_ascii() {
                true => (self.picture)(string),
                false => self.base64(string),
            };
            tensors.push(tensor.map_err(|error| format!("picture {at}: {error}"))?.unsqueeze());
            if tensors.iter().map(HostTensor::len).sum::<usize>() > MAX_ELEMENTS {
                return Err("the pictures are too many for one request; send fewer".to_owned());
            }
        }
        Ok(())
    }

    fn json_value(&self, scanner: &mut Scanner<'_>) -> Result<HostTensor, HandlerError> {
        match scanner.kind().map_err(bad)? {
            Kind::String => self.base64(scanner.string().map_err(bad)?.as_bytes()),
            Kind::Array => {
                let element_type = ElementType::Declared(DType::Float32);
                number_array(scanner, element_type, None).map_err(bad)
            }
            kind => Err(HandlerError::BadInput(format!("the JSON is {kind}; {FORMS}"))),
        }
    }

    fn base64(&self, text: &[u8]) -> Result<HostTensor, HandlerError> {
        let bytes = from_base64(text).map_err(|error| bad_input(format!("{error}; {FORMS}")))?;
        (self.picture)(&bytes)
    }
}

fn bad(error: JsonError) -> HandlerError {
    bad_input(error.to_string())
}

fn bad_input(reason: String) -> HandlerError {
    HandlerError::BadInput(reason)
}
