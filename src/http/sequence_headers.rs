//! The headers that name a request's sequence: `ts_request_sequence_id`, `_start`, `_end`, or what
//! `ts_header_key_sequence_*` call them.

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use crate::error::ServeError;
use crate::handlers::{Prediction, SequenceCall};
use crate::registry::SEQUENCE_ID;

/// The names.
#[derive(Clone, Debug)]
pub struct SequenceHeaders {
    /// The sequence; answers have it, too.
    pub id: HeaderName,
    /// It begins anew with this request.
    pub start: HeaderName,
    /// It ends with this request.
    pub end: HeaderName,
}

/// The longest id of a sequence.
const MAX_ID: usize = 128;

// === impl SequenceHeaders ===

impl SequenceHeaders {
    /// With these names of id, start and end; TorchServe's for what is no name of a header.
    pub fn named([id, start, end]: &[String; 3]) -> SequenceHeaders {
        let known = SequenceHeaders::default();
        let name = |text: &str, known| HeaderName::try_from(text).unwrap_or(known);
        SequenceHeaders {
            id: name(id, known.id),
            start: name(start, known.start),
            end: name(end, known.end),
        }
    }

    /// What the headers say of the request's sequence.
    ///
    /// # Errors
    /// 400 for an id that is too long or has other characters than visible ASCII.
    pub(super) fn read(&self, request: &HttpRequest) -> Result<SequenceCall, ServeError> {
        let id = request.headers().get(&self.id).map(|id| {
            let visible = id.to_str().ok().filter(|id| (1..=MAX_ID).contains(&id.len()));
            let visible = visible.filter(|id| id.bytes().all(|byte| byte.is_ascii_graphic()));
            visible.map(str::to_owned).ok_or_else(|| {
                let rule = format!("1 to {MAX_ID} visible ASCII characters");
                ServeError::bad_request(format!("the header {} must have {rule}", self.id))
            })
        });
        let yes = |name: &HeaderName| {
            let value = request.headers().get(name);
            value.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
        };
        Ok(SequenceCall { id: id.transpose()?, start: yes(&self.start), end: yes(&self.end) })
    }

    /// Takes the sequence's id out of what the model's headers are.
    pub(super) fn taken(&self, prediction: &mut Prediction) -> Option<HeaderValue> {
        let place = prediction.headers.iter().position(|(name, _)| *name == SEQUENCE_ID)?;
        HeaderValue::try_from(&*prediction.headers.swap_remove(place).1).ok()
    }

    /// Writes it under its name.
    pub(super) fn write(&self, response: &mut HttpResponse, id: Option<HeaderValue>) {
        if let Some(id) = id {
            response.headers_mut().insert(self.id.clone(), id);
        }
    }
}

/// TorchServe's names.
impl Default for SequenceHeaders {
    fn default() -> SequenceHeaders {
        SequenceHeaders {
            id: HeaderName::from_static(SEQUENCE_ID),
            start: HeaderName::from_static("ts_request_sequence_start"),
            end: HeaderName::from_static("ts_request_sequence_end"),
        }
    }
}
