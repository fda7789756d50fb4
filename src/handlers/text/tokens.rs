//! `text_classifier` with a Hugging Face tokenizer: classes of texts and of tokens, answers to
//! questions, embeddings.
//!
//! Made by `mod.rs`. The tokens of a request are padded to one length before it is queued, so that a
//! batch joins requests of that length; what the answer needs of the tokens is kept (`Kept`). The tasks
//! read the result: `classes.rs`, `entities.rs`, `questions.rs`, `embeddings.rs`.

use tokenizers::Encoding;

use super::request::{self, Text, Texts};
use super::settings::{TextSettings, TextTask, TokenInput};
use super::tokenizer::TextTokenizer;
use super::{class_answers, embeddings, entities, questions};
use crate::engine::{Argument, DType, Elements, HostTensor, Signature, Value};
use crate::handlers::json_rows::OUTPUT;
use crate::handlers::labels::Labels;
use crate::handlers::open_inference_answer::Served;
use crate::handlers::{
    Asked, Envelope, Form, Handler, HandlerError, HandlerSettings, Kept, Prediction, RequestInput,
    Sample, TensorMetadata,
};

/// Serves a model of tokens.
pub(super) struct TokenModel {
    pub(super) served: Served,
    pub(super) tokenizer: TextTokenizer,
    pub(super) labels: Labels,
    pub(super) settings: TextSettings,
    inputs: Vec<TokenInput>,
    torchserves_outputs: bool,
}

/// What is kept of a request.
pub(super) struct Tokenized {
    /// The request was a list.
    pub(super) is_list: bool,
    pub(super) texts: Vec<TokenizedText>,
}

/// One text, and its parts: one, or several of a long context.
pub(super) struct TokenizedText {
    pub(super) text: Text,
    pub(super) parts: Vec<Encoding>,
}

/// The most tokens of a request with their padding.
const MAX_TOKENS: usize = 1 << 20;

// === impl TokenModel ===

impl TokenModel {
    pub(super) fn new(
        handler: &HandlerSettings<'_>,
        settings: TextSettings,
        tokenizer: TextTokenizer,
    ) -> Result<TokenModel, HandlerError> {
        let inputs = match &settings.inputs {
            Some(inputs) => inputs.clone(),
            None => inputs_of(&handler.signature),
        };
        if inputs.is_empty() {
            return Err(HandlerError::Model(
                "model-config.yaml: text_classifier: inputs must name at least one argument".into(),
            ));
        }
        Ok(TokenModel {
            served: Served::new(handler),
            tokenizer,
            labels: labels(handler)?,
            settings,
            inputs,
            torchserves_outputs: handler.envelope == Envelope::KServeV2,
        })
    }

    fn sample(&self, texts: Texts) -> Result<Sample, HandlerError> {
        let Texts { texts, form, is_list } = texts;
        let is_question = self.settings.task == TextTask::QuestionAnswering;
        let tokenize = |text: Text| {
            if is_question && text.second.is_none() {
                let reason = "a question needs the text that has the answer: send `question` and \
                              `context`";
                return Err(HandlerError::BadInput(reason.to_owned()));
            }
            let mut parts = self.tokenizer.tokens(&text)?;
            if !is_question {
                // What was cut off.
                parts.truncate(1);
            }
            Ok(TokenizedText { text, parts })
        };
        let mut texts: Vec<TokenizedText> =
            texts.into_iter().map(tokenize).collect::<Result<_, _>>()?;
        let parts = || texts.iter().flat_map(|text| &text.parts);
        let (rows, longest) = (parts().count(), parts().map(Encoding::len).max().unwrap_or(0));
        if longest == 0 {
            return Err(HandlerError::BadInput("the text has no tokens".to_owned()));
        }
        let length = self.tokenizer.length(longest);
        if rows.saturating_mul(length) > MAX_TOKENS {
            return Err(HandlerError::BadInput(format!(
                "{rows} texts of {length} tokens are too many for one request; at most \
                 {MAX_TOKENS} tokens"
            )));
        }
        for part in texts.iter_mut().flat_map(|text| &mut text.parts) {
            self.tokenizer.pad(part, length)?;
        }
        let arguments = self.arguments(texts.iter().flat_map(|text| &text.parts), rows, length)?;
        let bucket = arguments.iter().map(|_| (DType::Int64, vec![length])).collect::<Vec<_>>();
        let kept = Kept::new(Tokenized { is_list, texts });
        let asked = Asked { kept, ..Asked::new(rows, form) };
        Ok(Sample { arguments, bucket: Some(bucket.into()), asked, inferred: 0 })
    }

    fn arguments<'a>(
        &self,
        parts: impl Iterator<Item = &'a Encoding> + Clone,
        rows: usize,
        length: usize,
    ) -> Result<Vec<Value>, HandlerError> {
        let argument = |input: &TokenInput| {
            let mut numbers = Vec::with_capacity(rows * length);
            for part in parts.clone() {
                let own = match input {
                    TokenInput::InputIds => part.get_ids(),
                    TokenInput::AttentionMask => part.get_attention_mask(),
                    TokenInput::TokenTypeIds => part.get_type_ids(),
                };
                numbers.extend(own.iter().map(|number| i64::from(*number)));
            }
            HostTensor::new(vec![rows, length], Elements::Int64(numbers))
                .map(Value::Tensor)
                .map_err(|error| HandlerError::Model(error.to_string()))
        };
        self.inputs.iter().map(argument).collect()
    }
}

impl Handler for TokenModel {
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError> {
        self.sample(request::read(&input, self.torchserves_outputs)?)
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        crate::handlers::base::collate(samples)
    }

    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        match self.settings.task {
            TextTask::Classification => class_answers::answers(self, &output, asked),
            TextTask::TokenClassification => entities::answers(self, &output, asked),
            TextTask::QuestionAnswering => questions::answers(self, &output, asked),
            TextTask::Embedding => embeddings::answers(self, &output, asked),
        }
    }

    fn inputs(&self) -> Vec<TensorMetadata> {
        match self.settings.task {
            TextTask::QuestionAnswering => {
                vec![TensorMetadata::bytes("question"), TensorMetadata::bytes("context")]
            }
            _ => vec![TensorMetadata::bytes("text")],
        }
    }

    fn outputs(&self) -> Vec<TensorMetadata> {
        match self.settings.task {
            TextTask::Embedding => {
                vec![TensorMetadata::tensor(OUTPUT, DType::Float32, Some(&[None, None]))]
            }
            _ => vec![TensorMetadata::bytes(OUTPUT)],
        }
    }

    fn example(&self, rows: usize) -> Option<Vec<Value>> {
        let second = self.settings.task == TextTask::QuestionAnswering;
        let text = Text {
            first: "which text is this".to_owned(),
            second: second.then(|| "this is an example".to_owned()),
        };
        let texts = Texts { texts: vec![text; rows], form: Form::Plain, is_list: true };
        Some(self.sample(texts).ok()?.arguments)
    }
}

/// Splits the numbers of an output over the requests: rows of `size` numbers, one for each text.
///
/// # Errors
/// [`HandlerError::Model`] when there are more or fewer.
pub(super) fn split<'a>(
    tensor: &HostTensor,
    numbers: &'a [f32],
    size: usize,
    asked: &[Asked],
) -> Result<Vec<&'a [f32]>, HandlerError> {
    let expected = asked.iter().map(|asked| asked.rows).sum::<usize>();
    if tensor.rows() != Some(expected) {
        return Err(HandlerError::Model(format!(
            "the model returned shape {:?}, which is not one row for each of {expected} texts",
            tensor.shape()
        )));
    }
    let mut rest = numbers;
    let own = asked.iter().map(|asked| {
        let (own, others) = rest.split_at_checked(asked.rows * size).unwrap_or((rest, &[]));
        rest = others;
        own
    });
    Ok(own.collect())
}

/// The tensor among a model's results: the one that has one of `names`, else the first.
pub(super) fn tensor<'a>(
    output: &'a Value,
    names: &[&str],
) -> Result<&'a HostTensor, HandlerError> {
    let found = match output {
        Value::Tensor(tensor) => return Ok(tensor),
        Value::Dict(members) => {
            let named = |name: &&str| members.iter().find(|(key, _)| key == *name);
            let tensors = || members.iter().find(|(_, value)| matches!(value, Value::Tensor(_)));
            names.iter().find_map(named).or_else(tensors).map(|(_, value)| value)
        }
        Value::Tuple(items) | Value::List(items) => {
            items.iter().find(|item| matches!(item, Value::Tensor(_)))
        }
        _ => None,
    };
    match found {
        Some(Value::Tensor(tensor)) => Ok(tensor),
        _ => Err(HandlerError::Model("the model returned no tensor".to_owned())),
    }
}

/// What `preprocess` has kept.
///
/// # Errors
/// [`HandlerError::Model`] when the request is none of this handler's.
pub(super) fn tokenized(asked: &Asked) -> Result<&Tokenized, HandlerError> {
    let other = || HandlerError::Model("a request that another handler has read".to_owned());
    asked.kept.get().ok_or_else(other)
}

/// The arguments by their names; by their places where the names are a tracer's.
fn inputs_of(signature: &Signature) -> Vec<TokenInput> {
    let of = |argument: &Argument| match argument.name.as_str() {
        name if name.contains("mask") => Some(TokenInput::AttentionMask),
        name if name.contains("type_ids") || name.contains("segment") => {
            Some(TokenInput::TokenTypeIds)
        }
        name if name.contains("ids") || name.contains("tokens") => Some(TokenInput::InputIds),
        _ => None,
    };
    let named: Vec<_> = signature.arguments.iter().map_while(of).collect();
    let required = signature.arguments.iter().filter(|argument| argument.required).count();
    if named.first() == Some(&TokenInput::InputIds) && named.len() >= required {
        return named;
    }
    let order = [TokenInput::InputIds, TokenInput::AttentionMask, TokenInput::TokenTypeIds];
    order[..required.clamp(1, order.len())].to_vec()
}

/// Bytes of a `config.json`.
const MAX_CONFIG_SIZE: u64 = 4 << 20;

/// `index_to_name.json`, else `id2label` of a Hugging Face `config.json`.
fn labels(handler: &HandlerSettings<'_>) -> Result<Labels, HandlerError> {
    if handler.index_to_name.is_some() {
        return Labels::read(handler.index_to_name);
    }
    let config = handler.files.read("config.json", MAX_CONFIG_SIZE).map_err(HandlerError::Model)?;
    let Some(config) = config else { return Labels::read(None) };
    let config: serde_json::Value = serde_json::from_slice(&config)
        .map_err(|error| HandlerError::Model(format!("config.json is not JSON: {error}")))?;
    match config.get("id2label") {
        Some(names) => Labels::read(Some(names.to_string().as_bytes())),
        None => Labels::read(None),
    }
}
