//! The keys of `model-config.yaml` as data: what `torchfront archive --explain` and `torchfront
//! migrate` say of them.
//!
//! The handlers' own keys are here, the server's in `registry/model_keys.rs`. What a value may be is
//! decided where it is read (`declared.rs`, `image/settings.rs`, `occlusion.rs`); tests keep the names
//! equal.

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelKey {
    /// The key; of a map within the map as `outer.inner`.
    pub name: &'static str,
    /// What its value may be.
    pub values: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// Whether it is read.
    pub effect: Effect,
}

/// What a key does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What its documentation says.
    Read,
    /// Nothing, and nothing is lost, for this reason.
    None(&'static str),
    /// Nothing in this version: the model is not served as it was, for this reason.
    NotYet(&'static str),
}

/// Read by every handler.
const EXPLANATIONS: [ModelKey; 2] = [
    ModelKey::read("explanations.patches", "1 to 4096", "64"),
    ModelKey::read("explanations.batch_size", "1 to 256", "8"),
];

const BASE_HANDLER: &[ModelKey] = &[
    ModelKey::read("inputs", "a list of {name, datatype, shape}", "any type and shape"),
    ModelKey::read(
        "outputs",
        "a list of {name, from, datatype, shape, activation, top_k, labels}",
        "everything, as it is",
    ),
    EXPLANATIONS[0],
    EXPLANATIONS[1],
];

const IMAGE_CLASSIFIER: &[ModelKey] = &[
    ModelKey::read("image_classifier.resize", "shorter side, [height, width] or null", "256"),
    ModelKey::read("image_classifier.crop", "square, [height, width] or null", "224"),
    ModelKey::read("image_classifier.channels", "3 or 1", "3"),
    ModelKey::read("image_classifier.mean", "one number a channel", "[0.485, 0.456, 0.406]"),
    ModelKey::read("image_classifier.std", "one number a channel", "[0.229, 0.224, 0.225]"),
    ModelKey::read("image_classifier.invert", "true or false", "false"),
    ModelKey::read("image_classifier.top_k", "1 or more", "5"),
    EXPLANATIONS[0],
    EXPLANATIONS[1],
];

const IMAGE_SEGMENTER: &[ModelKey] = &[
    ModelKey::read("image_segmenter.resize", "shorter side, [height, width] or null", "256"),
    ModelKey::read("image_segmenter.crop", "square, [height, width] or null", "224"),
    ModelKey::read("image_segmenter.channels", "3 or 1", "3"),
    ModelKey::read("image_segmenter.mean", "one number a channel", "[0.485, 0.456, 0.406]"),
    ModelKey::read("image_segmenter.std", "one number a channel", "[0.229, 0.224, 0.225]"),
    ModelKey::read("image_segmenter.invert", "true or false", "false"),
    ModelKey::read("image_segmenter.palette", "true or false", "false"),
];

const OBJECT_DETECTOR: &[ModelKey] = &[
    ModelKey::read("object_detector.channels", "3 or 1", "3"),
    ModelKey::read("object_detector.mean", "one number a channel", "[0, 0, 0]"),
    ModelKey::read("object_detector.std", "one number a channel", "[1, 1, 1]"),
    ModelKey::read("object_detector.invert", "true or false", "false"),
    ModelKey::read("object_detector.threshold", "0 to 1", "0.5"),
];

const AUDIO: &[ModelKey] = &[
    ModelKey::read("audio.rate", "100 to 768000 samples a second", "16000"),
    ModelKey::read("audio.chunk", "samples", "none: the sound is one row"),
    ModelKey::read("audio.samples", "samples", "none: as long as the sound"),
    ModelKey::read("audio.channel_dimension", "true or false", "false"),
    ModelKey::read(
        "audio.inputs",
        "a list of waveform, rate, lengths",
        "waveform, and what a second argument's type says",
    ),
    ModelKey::read("audio.max_seconds", "0.001 to 36000", "600"),
    ModelKey::read("audio.activation", "none, softmax or sigmoid", "none"),
    ModelKey::read(
        "audio.top_k",
        "1 or more",
        "all, with index_to_name.json; else the plain result",
    ),
];

const TEXT_CLASSIFIER: &[ModelKey] = &[
    ModelKey::read(
        "text_classifier.task",
        "classification, token_classification, question_answering or embedding",
        "classification",
    ),
    ModelKey::read("text_classifier.tokenizer", "a file name", "tokenizer.json where there is one"),
    ModelKey::read("text_classifier.max_length", "2 to 16384 tokens", "the tokenizer's, else 512"),
    ModelKey::read("text_classifier.pad_to", "a list of lengths", "the powers of two from 8 on"),
    ModelKey::read(
        "text_classifier.inputs",
        "a list of input_ids, attention_mask, token_type_ids",
        "the names of forward's arguments",
    ),
    ModelKey::read("text_classifier.ngrams", "1 to 8", "2"),
    ModelKey::read("text_classifier.activation", "none, softmax or sigmoid", "softmax"),
    ModelKey::read("text_classifier.top_k", "1 or more", "all; one answer to a question"),
    ModelKey::read("text_classifier.pooling", "mean, cls or none", "mean of a vector a token"),
    ModelKey::read("text_classifier.normalize", "true or false", "true"),
    ModelKey::read("text_classifier.aggregation", "none or simple", "none"),
    ModelKey::read("text_classifier.ignore_labels", "a list of labels", "[O]"),
    ModelKey::read("text_classifier.max_answer_length", "1 or more tokens", "15"),
    ModelKey::read("text_classifier.stride", "tokens", "128"),
];

// === impl ModelKey ===

impl ModelKey {
    /// A key that is read.
    pub const fn read(name: &'static str, values: &'static str, default: &'static str) -> ModelKey {
        ModelKey { name, values, default, effect: Effect::Read }
    }

    /// A key of TorchServe's that is not.
    pub const fn unread(name: &'static str, effect: Effect) -> ModelKey {
        ModelKey { name, values: "", default: "", effect }
    }
}

/// The keys that the built-in handler `name` reads; empty for one that is not built in.
pub fn handler_keys(name: &str) -> &'static [ModelKey] {
    match name {
        "audio" => AUDIO,
        "base_handler" => BASE_HANDLER,
        "image_classifier" => IMAGE_CLASSIFIER,
        "image_segmenter" => IMAGE_SEGMENTER,
        "object_detector" => OBJECT_DETECTOR,
        "text_classifier" => TEXT_CLASSIFIER,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::engine::Signature;
    use crate::handlers::{BUILT_IN, Envelope, HandlerSettings, NoFiles, built_in};

    fn refusal(handler: &str, model_config: &Json) -> Option<String> {
        let settings = HandlerSettings {
            model: "m",
            version: "1.0",
            index_to_name: None,
            model_config,
            signature: Signature::default(),
            limit_max_image_pixels: true,
            max_response_size: usize::MAX,
            envelope: Envelope::None,
            files: &NoFiles,
        };
        built_in(handler, settings).err().map(|error| error.to_string())
    }

    #[test]
    fn every_key_in_the_table_is_read_by_its_handler() {
        for handler in BUILT_IN {
            assert!(!handler_keys(handler).is_empty(), "{handler} has no line in the table");
            for key in handler_keys(handler) {
                let wrong = match key.name.split_once('.') {
                    Some((outer, inner)) => json!({ outer: { inner: {"no": "value"} } }),
                    None => json!({ key.name: {"no": "value"} }),
                };
                let said = refusal(handler, &wrong).unwrap_or_default();
                let outer = key.name.split('.').next().unwrap_or_default();
                assert!(said.contains(outer), "{handler} does not read {}: {said}", key.name);
            }
        }
        assert_eq!(refusal("image_classifier", &json!({})), None);
        let unknown = refusal("image_classifier", &json!({"image_classifier": {"sise": 1}}));
        assert!(unknown.is_some(), "the test above shows nothing where unknown keys pass");
    }
}
