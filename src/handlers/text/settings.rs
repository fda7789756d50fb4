//! The key `text_classifier` of `model-config.yaml`.
//!
//! Read once by `mod.rs`; `docs/model-config.md` documents it.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::handlers::HandlerError;
use crate::handlers::activation::Activation;

/// How texts become tensors, and how the answer is read from the result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TextSettings {
    /// What the model is for.
    pub(super) task: TextTask,
    /// The file of a Hugging Face tokenizer.
    pub(super) tokenizer: Option<String>,
    /// Longer texts are cut, in tokens; none for what the tokenizer says.
    pub(super) max_length: Option<usize>,
    /// The lengths that texts are padded to; none for the powers of two.
    pub(super) pad_to: Option<Vec<usize>>,
    /// The model's arguments; none for what their names say.
    pub(super) inputs: Option<Vec<TokenInput>>,
    /// Runs of words that are looked up in a vocabulary.
    pub(super) ngrams: usize,
    /// None for the task's.
    pub(super) activation: Option<Activation>,
    /// The most classes in an answer, best first; none for all in their order. The most answers to a
    /// question.
    pub(super) top_k: Option<usize>,
    /// None for what the output's shape says.
    pub(super) pooling: Option<Pooling>,
    /// Embeddings are made one long.
    pub(super) normalize: bool,
    /// Tokens of one entity are joined.
    pub(super) aggregation: Aggregation,
    /// Labels of tokens that are not told.
    pub(super) ignore_labels: Vec<String>,
    /// The most tokens of an answer to a question.
    pub(super) max_answer_length: usize,
    /// Tokens of a long context that two parts of it share.
    pub(super) stride: Option<usize>,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TextTask {
    /// One class for a text.
    #[default]
    Classification,
    /// One class for each token.
    TokenClassification,
    /// The place of the answer in a text.
    QuestionAnswering,
    /// The meaning of a text as numbers.
    Embedding,
}

/// One argument of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TokenInput {
    /// The tokens' numbers.
    InputIds,
    /// 1 for a token, 0 for padding.
    AttentionMask,
    /// 1 for a token of the second text.
    TokenTypeIds,
}

/// How the vectors of tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pooling {
    /// Their mean, without padding.
    Mean,
    /// The first one.
    Cls,
    /// The model has done it.
    None,
}

/// Whether tokens of one entity are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Aggregation {
    /// Each token is told.
    #[default]
    None,
    /// Neighbours of one kind are one entity.
    Simple,
}

/// The key as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    task: TextTask,
    tokenizer: Option<String>,
    max_length: Option<usize>,
    pad_to: Option<Vec<usize>>,
    inputs: Option<Vec<TokenInput>>,
    ngrams: usize,
    activation: Option<String>,
    top_k: Option<usize>,
    pooling: Option<Pooling>,
    normalize: bool,
    aggregation: Aggregation,
    ignore_labels: Vec<String>,
    max_answer_length: usize,
    stride: Option<usize>,
}

/// The longest text, in tokens.
const MAX_LENGTH: usize = 16_384;
/// The longest runs of words.
const MAX_NGRAMS: usize = 8;

impl Default for Written {
    fn default() -> Written {
        Written {
            task: TextTask::default(),
            tokenizer: None,
            max_length: None,
            pad_to: None,
            inputs: None,
            // TorchServe's.
            ngrams: 2,
            activation: None,
            top_k: None,
            pooling: None,
            normalize: true,
            aggregation: Aggregation::default(),
            // The next two are those of Python's transformers.
            ignore_labels: vec!["O".to_owned()],
            max_answer_length: 15,
            stride: None,
        }
    }
}

// === impl TextSettings ===

impl TextSettings {
    /// Reads the key.
    ///
    /// # Errors
    /// [`HandlerError::Model`] that names the key and what it should be.
    pub(super) fn read(model_config: &Json) -> Result<TextSettings, HandlerError> {
        let written = match model_config.get("text_classifier") {
            None | Some(Json::Null) => Written::default(),
            // A list would be read as the fields in their order.
            Some(json) if !json.is_object() => return Err(wrong("must be a map")),
            Some(json) => Written::deserialize(json).map_err(|error| wrong(&error.to_string()))?,
        };
        let within = |key: &str, value: usize, least: usize, most: usize| match value {
            value if (least..=most).contains(&value) => Ok(value),
            value => Err(wrong(&format!("{key} is {value}; it must be {least} to {most}"))),
        };
        let length = |key, value: Option<usize>, least| {
            value.map(|value| within(key, value, least, MAX_LENGTH)).transpose()
        };
        if let Some(lengths) = &written.pad_to {
            let is_rising = lengths.windows(2).all(|pair| pair[0] < pair[1]);
            if !is_rising || lengths.iter().any(|length| !(1..=MAX_LENGTH).contains(length)) {
                return Err(wrong("pad_to must be lengths in rising order, such as [32, 128]"));
            }
        }
        let activation = written.activation.as_deref().map(|name| {
            let found = Activation::NAMES.iter().find(|(known, _)| *known == name);
            let known = Activation::NAMES.map(|(known, _)| known).join(", ");
            found
                .map(|(_, activation)| *activation)
                .ok_or_else(|| wrong(&format!("activation must be one of {known}")))
        });
        Ok(TextSettings {
            task: written.task,
            tokenizer: written.tokenizer,
            max_length: length("max_length", written.max_length, 2)?,
            pad_to: written.pad_to,
            inputs: written.inputs,
            ngrams: within("ngrams", written.ngrams, 1, MAX_NGRAMS)?,
            activation: activation.transpose()?,
            top_k: length("top_k", written.top_k, 1)?,
            pooling: written.pooling,
            normalize: written.normalize,
            aggregation: written.aggregation,
            ignore_labels: written.ignore_labels,
            max_answer_length: within(
                "max_answer_length",
                written.max_answer_length,
                1,
                MAX_LENGTH,
            )?,
            stride: length("stride", written.stride, 0)?,
        })
    }
}

fn wrong(what: &str) -> HandlerError {
    HandlerError::Model(format!("model-config.yaml: text_classifier: {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: Json) -> Result<TextSettings, String> {
        TextSettings::read(&json!({ "text_classifier": json })).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let settings = read(json!({
            "task": "question_answering", "tokenizer": "t.json", "max_length": 384,
            "pad_to": [16, 384], "inputs": ["input_ids", "attention_mask"], "ngrams": 1,
            "activation": "sigmoid", "top_k": 3, "pooling": "cls", "normalize": false,
            "aggregation": "simple", "ignore_labels": [], "max_answer_length": 30, "stride": 64,
        }))
        .unwrap();
        assert_eq!(settings.task, TextTask::QuestionAnswering);
        assert_eq!(settings.inputs, Some(vec![TokenInput::InputIds, TokenInput::AttentionMask]));
        assert_eq!((settings.activation, settings.top_k), (Some(Activation::Sigmoid), Some(3)));
        assert_eq!(read(json!(null)), read(json!({})));
    }

    #[test]
    fn a_wrong_value_is_told_with_its_key() {
        for (json, says) in [
            (json!([]), "must be a map"),
            (json!({"taks": "embedding"}), "unknown field `taks`"),
            (json!({"task": "translation"}), "unknown variant `translation`"),
            (json!({"max_length": 1}), "max_length is 1; it must be 2 to 16384"),
            (json!({"ngrams": 9}), "ngrams is 9; it must be 1 to 8"),
            (json!({"pad_to": [32, 16]}), "rising order"),
            (json!({"pad_to": [0]}), "rising order"),
            (json!({"activation": "relu"}), "one of none, softmax, sigmoid"),
            (json!({"top_k": 0}), "top_k is 0"),
        ] {
            let error = read(json.clone()).unwrap_err();
            assert!(error.starts_with("model-config.yaml: text_classifier: "), "{error}");
            assert!(error.contains(says), "{json}: {error}");
        }
    }
}
