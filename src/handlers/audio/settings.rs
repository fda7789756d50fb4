//! The key `audio` of `model-config.yaml`.
//!
//! Read once by `waveforms.rs`; `docs/model-config.md` documents it.

use serde::Deserialize;
use serde_json::Value as Json;

use super::decode::RATES;
use crate::engine::Signature;
use crate::handlers::HandlerError;
use crate::handlers::activation::Activation;

/// How sound becomes tensors, and how the answer is read from the result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AudioSettings {
    /// Samples a second that the model takes.
    pub(super) rate: u32,
    /// The waveform has a dimension for its one channel.
    pub(super) channel_dimension: bool,
    /// Sound is cut into parts of so many samples, the last one filled with zeros: rows of a batch, or
    /// steps of a model that remembers.
    pub(super) chunk: Option<usize>,
    /// Sound is cut or filled with zeros to so many samples.
    pub(super) samples: Option<usize>,
    /// The model's arguments.
    pub(super) inputs: Vec<AudioInput>,
    /// Longer sound is refused.
    pub(super) max_seconds: f64,
    /// What is made of the result's last dimension.
    pub(super) activation: Activation,
    /// Labels and numbers instead of the plain result: so many, best first.
    pub(super) top_k: Option<usize>,
}

/// One argument of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AudioInput {
    /// The samples.
    Waveform,
    /// Samples a second, as a Python `int`.
    Rate,
    /// The number of samples of each row, `int64`.
    Lengths,
}

/// The key as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    rate: u32,
    channel_dimension: bool,
    chunk: Option<usize>,
    samples: Option<usize>,
    inputs: Option<Vec<AudioInput>>,
    max_seconds: f64,
    activation: Option<String>,
    top_k: Option<usize>,
}

/// Samples of one part, or of all.
const MAX_SAMPLES: usize = 1 << 26;

impl Default for Written {
    fn default() -> Written {
        Written {
            rate: 16_000,
            channel_dimension: false,
            chunk: None,
            samples: None,
            inputs: None,
            max_seconds: 600.0,
            activation: None,
            top_k: None,
        }
    }
}

// === impl AudioSettings ===

impl AudioSettings {
    /// Reads the key; `signature` tells the arguments where the key does not.
    ///
    /// # Errors
    /// [`HandlerError::Model`] that names the key and what it should be.
    pub(super) fn read(
        model_config: &Json,
        signature: &Signature,
    ) -> Result<AudioSettings, HandlerError> {
        let written = match model_config.get("audio") {
            None | Some(Json::Null) => Written::default(),
            // A list would be read as the fields in their order.
            Some(json) if !json.is_object() => return Err(wrong("must be a map")),
            Some(json) => Written::deserialize(json).map_err(|error| wrong(&error.to_string()))?,
        };
        if !RATES.contains(&written.rate) {
            let (least, most) = (RATES.start(), RATES.end());
            return Err(wrong(&format!("rate must be {least} to {most}")));
        }
        for (key, value) in [("chunk", written.chunk), ("samples", written.samples)] {
            if value.is_some_and(|value| !(1..=MAX_SAMPLES).contains(&value)) {
                return Err(wrong(&format!("{key} must be 1 to {MAX_SAMPLES} samples")));
            }
        }
        if written.chunk.is_some() && written.samples.is_some() {
            return Err(wrong("has chunk and samples; a model takes one or the other"));
        }
        if !(0.001..=36_000.0).contains(&written.max_seconds) {
            return Err(wrong("max_seconds must be 0.001 to 36000"));
        }
        let activation = match written.activation.as_deref() {
            None => Activation::None,
            Some(name) => {
                let found = Activation::NAMES.iter().find(|(known, _)| *known == name);
                let known = Activation::NAMES.map(|(known, _)| known).join(", ");
                found
                    .map(|(_, activation)| *activation)
                    .ok_or_else(|| wrong(&format!("activation must be one of {known}")))?
            }
        };
        if written.top_k == Some(0) {
            return Err(wrong("top_k must be 1 or more"));
        }
        let inputs = written.inputs.unwrap_or_else(|| inputs_of(signature));
        if inputs.iter().filter(|input| **input == AudioInput::Waveform).count() != 1 {
            return Err(wrong("inputs must name `waveform` once"));
        }
        Ok(AudioSettings {
            rate: written.rate,
            channel_dimension: written.channel_dimension,
            chunk: written.chunk,
            samples: written.samples,
            inputs,
            max_seconds: written.max_seconds,
            activation,
            top_k: written.top_k,
        })
    }
}

/// A waveform; behind it, if the model must have it, the rate (`int`) or the lengths (a tensor).
fn inputs_of(signature: &Signature) -> Vec<AudioInput> {
    let second = signature.arguments.get(1).filter(|argument| argument.required);
    let second = second.map(|argument| match argument.kind.as_str() {
        "int" => AudioInput::Rate,
        _ => AudioInput::Lengths,
    });
    std::iter::once(AudioInput::Waveform).chain(second).collect()
}

fn wrong(what: &str) -> HandlerError {
    HandlerError::Model(format!("model-config.yaml: audio: {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::Argument;

    fn read(json: Json) -> Result<AudioSettings, String> {
        let argument = |name: &str, kind: &str| Argument {
            name: name.to_owned(),
            kind: kind.to_owned(),
            required: true,
        };
        let arguments = vec![argument("x", "Tensor"), argument("sr", "int")];
        AudioSettings::read(&json!({ "audio": json }), &Signature { arguments })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read_and_the_rate_is_passed_where_the_model_asks_for_it() {
        let settings = read(json!({
            "rate": 8000, "channel_dimension": true, "chunk": 256, "max_seconds": 10,
            "activation": "sigmoid", "top_k": 2, "inputs": ["waveform"],
        }))
        .unwrap();
        assert_eq!((settings.rate, settings.chunk, settings.top_k), (8000, Some(256), Some(2)));
        assert_eq!(settings.inputs, [AudioInput::Waveform]);
        let silent = read(json!(null)).unwrap();
        assert_eq!(silent.inputs, [AudioInput::Waveform, AudioInput::Rate]);
        assert_eq!((silent.rate, silent.activation), (16_000, Activation::None));
    }

    #[test]
    fn a_wrong_value_is_told_with_its_key() {
        for (json, says) in [
            (json!([]), "must be a map"),
            (json!({"rate": 10}), "rate must be 100 to 768000"),
            (json!({"chunk": 0}), "chunk must be 1 to"),
            (json!({"chunk": 5, "samples": 5}), "one or the other"),
            (json!({"max_seconds": 0}), "max_seconds must be"),
            (json!({"activation": "relu"}), "one of none, softmax, sigmoid"),
            (json!({"inputs": ["rate"]}), "`waveform` once"),
            (json!({"top_k": 0}), "top_k must be 1 or more"),
            (json!({"ratte": 8000}), "unknown field `ratte`"),
        ] {
            let error = read(json.clone()).unwrap_err();
            assert!(error.starts_with("model-config.yaml: audio: "), "{error}");
            assert!(error.contains(says), "{json}: {error}");
        }
    }
}
