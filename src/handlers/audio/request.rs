//! What a request for sound may be. PURE.
//!
//! Called by `waveforms.rs`. A request is the bytes of a WAV or FLAC file, their base64 text (as
//! `text/plain`, a JSON string, a `data:` URL, or in a JSON object under `data` or `body`), or samples at
//! the model's rate as a JSON array; or a request of the Open Inference Protocol with one input of such
//! files (BYTES) or of samples (FP32).

use std::borrow::Cow;

use super::decode::{decode, looks_like_sound};
use super::rate::resample;
use super::settings::AudioSettings;
use crate::engine::{DType, Elements, HostTensor};
use crate::handlers::file_request::{Object, from_base64, object};
use crate::handlers::json::{JsonError, Kind, Scanner};
use crate::handlers::number_array::{ElementType, number_array};
use crate::handlers::open_inference::Input;
use crate::handlers::open_inference_request::split;
use crate::handlers::{Form, HandlerError, Parameter, RequestInput};

/// What a request may hold; the end of every error about something else.
const FORMS: &str = "send the bytes of a WAV or FLAC file, their base64 text as text/plain or as a JSON \
string, or samples between -1 and 1 as a JSON array";

/// The most sounds of one request.
const MAX_SOUNDS: usize = 256;

/// The waveforms of a request, at the model's rate, and the form of the answer.
///
/// # Errors
/// [`HandlerError::BadInput`], and what the reason is.
pub(super) fn read(
    input: &RequestInput,
    settings: &AudioSettings,
) -> Result<(Vec<Vec<f32>>, Form), HandlerError> {
    let Some(payload) = input.payload() else {
        return Err(bad(format!("{}; {FORMS}", input.no_payload())));
    };
    let (bytes, raw) = split(input.protocol, payload).map_err(HandlerError::BadInput)?;
    if raw.is_some() {
        return json(bytes, raw, settings);
    }
    if bytes.is_empty() {
        return Err(bad(format!("the body is empty; {FORMS}")));
    }
    let alone = |samples| (vec![samples], Form::Plain);
    if looks_like_sound(bytes) {
        return file(bytes, settings).map(alone);
    }
    match kind_of_text(payload) {
        Some(true) => json(bytes, None, settings),
        Some(false) => base64(bytes, settings).map(alone),
        None => Err(bad(format!("the body is no sound that is read here; {FORMS}"))),
    }
}

/// JSON, base64, or neither.
fn kind_of_text(payload: &Parameter) -> Option<bool> {
    let bytes = &*payload.value;
    let is_json = Scanner::looks_like_json(bytes) || bytes.starts_with(b"\"");
    match payload.content_type.as_deref() {
        Some("application/json") => Some(true),
        Some(media) if media.starts_with("text") => Some(false),
        _ if is_json => Some(true),
        _ => bytes.is_ascii().then_some(false),
    }
}

fn json(
    bytes: &[u8],
    raw: Option<bytes::Bytes>,
    settings: &AudioSettings,
) -> Result<(Vec<Vec<f32>>, Form), HandlerError> {
    let alone = |samples| (vec![samples], Form::Plain);
    let mut scanner = Scanner::new(bytes);
    if scanner.kind().map_err(wrong)? != Kind::Object {
        let samples = value(&mut scanner, settings)?;
        scanner.end().map_err(wrong)?;
        return Ok(alone(samples));
    }
    match object(&mut scanner, raw).map_err(wrong)? {
        Object::Request(request) => {
            let [input] = request.inputs.as_slice() else {
                return Err(bad("expected one input, with sounds or with samples".to_owned()));
            };
            let sounds = inputs(input, settings)?;
            Ok((sounds, Form::OpenInference(Box::new(request.wanted))))
        }
        Object::Value(mut start) => value(&mut start, settings).map(alone),
        Object::Nothing => {
            Err(bad(format!("the JSON object has none of `data`, `body`, `inputs`; {FORMS}")))
        }
    }
}

fn inputs(input: &Input<'_>, settings: &AudioSettings) -> Result<Vec<Vec<f32>>, HandlerError> {
    let within = |reason: String| bad(format!("/inputs/0: {reason}"));
    if let Some(files) = input.strings().map_err(|error| within(error.to_string()))? {
        if files.is_empty() || files.len() > MAX_SOUNDS {
            return Err(within(format!("expected 1 to {MAX_SOUNDS} sounds, got {}", files.len())));
        }
        let one = |bytes: &Cow<'_, [u8]>| match looks_like_sound(bytes) {
            true => file(bytes, settings),
            false => base64(bytes, settings),
        };
        return files.iter().map(one).collect();
    }
    let tensor = input.tensor().map_err(|error| within(error.to_string()))?;
    let (Elements::Float32(samples), shape) = (tensor.elements(), tensor.shape()) else {
        return Err(within(format!("expected BYTES or FP32, got {}", tensor.dtype().oip_name())));
    };
    match *shape {
        [length] if length > 0 => Ok(vec![samples.clone()]),
        [rows, length] if (1..=MAX_SOUNDS).contains(&rows) && length > 0 => {
            Ok(samples.chunks_exact(length).map(<[f32]>::to_vec).collect())
        }
        _ => Err(within(format!("expected the shape [samples] or [rows, samples], got {shape:?}"))),
    }
}

/// A string or an array.
fn value(scanner: &mut Scanner<'_>, settings: &AudioSettings) -> Result<Vec<f32>, HandlerError> {
    match scanner.kind().map_err(wrong)? {
        Kind::String => base64(scanner.string().map_err(wrong)?.as_bytes(), settings),
        Kind::Array => {
            let element_type = ElementType::Declared(DType::Float32);
            let tensor: HostTensor = number_array(scanner, element_type, None).map_err(wrong)?;
            match (tensor.shape(), tensor.elements()) {
                ([length], Elements::Float32(samples)) if *length > 0 => Ok(samples.clone()),
                (shape, _) => {
                    Err(bad(format!("expected one list of samples, got the shape {shape:?}")))
                }
            }
        }
        kind => Err(bad(format!("the JSON is {kind}; {FORMS}"))),
    }
}

fn base64(text: &[u8], settings: &AudioSettings) -> Result<Vec<f32>, HandlerError> {
    let bytes = from_base64(text).map_err(|error| bad(format!("{error}; {FORMS}")))?;
    if !looks_like_sound(&bytes) {
        return Err(bad(format!("the base64 text is no WAV and no FLAC; {FORMS}")));
    }
    file(&bytes, settings)
}

fn file(bytes: &[u8], settings: &AudioSettings) -> Result<Vec<f32>, HandlerError> {
    let sound = decode(bytes, settings.max_seconds).map_err(bad)?;
    if sound.samples.is_empty() {
        return Err(bad("the sound has no samples".to_owned()));
    }
    Ok(resample(sound.samples, sound.rate, settings.rate))
}

fn wrong(error: JsonError) -> HandlerError {
    bad(error.to_string())
}

fn bad(reason: String) -> HandlerError {
    HandlerError::BadInput(reason)
}
