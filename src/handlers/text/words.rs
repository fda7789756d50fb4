//! `text_classifier` with a vocabulary: TorchServe's own archives (`source_vocab.pt`).
//!
//! Made by `mod.rs`. The model is called as `model(numbers of the words, offsets)`, two `int64` tensors
//! of one dimension, as `torch.nn.EmbeddingBag` takes them. TorchServe cannot batch this; here the texts
//! of a batch are the bags of one call, and a model that cannot take several is asked for each alone.

use super::english::{ngrams, words};
use super::request::{self, Texts};
use super::settings::TextSettings;
use super::vocabulary::{SOURCE_VOCAB, Vocabulary};
use crate::engine::{DType, Elements, HostTensor, Value};
use crate::handlers::activation::{Activation, best, floats};
use crate::handlers::json_rows::{self, OUTPUT, classes};
use crate::handlers::labels::Labels;
use crate::handlers::open_inference_answer::Served;
use crate::handlers::{
    Asked, Bucket, Envelope, Handler, HandlerError, HandlerSettings, Kept, Prediction,
    RequestInput, Sample, TensorMetadata,
};

/// Serves a model of words.
pub(super) struct WordClassifier {
    served: Served,
    vocabulary: Vocabulary,
    labels: Labels,
    settings: TextSettings,
    torchserves_outputs: bool,
}

/// The request was a list.
struct IsList(bool);

/// Words that share a batch without a thought about the time that they take.
const SHORT: usize = 1 << 12;

// === impl WordClassifier ===

impl WordClassifier {
    pub(super) fn new(
        handler: &HandlerSettings<'_>,
        settings: TextSettings,
        vocabulary: Vocabulary,
    ) -> Result<WordClassifier, HandlerError> {
        Ok(WordClassifier {
            served: Served::new(handler),
            vocabulary,
            labels: Labels::read(handler.index_to_name)?,
            settings,
            torchserves_outputs: handler.envelope == Envelope::KServeV2,
        })
    }

    /// The numbers of a text's words and of their runs.
    fn numbers(&self, text: &str) -> Result<Vec<i64>, HandlerError> {
        let words = words(text);
        if words.is_empty() {
            return Err(HandlerError::BadInput(
                "the text has no words: letters and digits of ASCII, or what can be written with them"
                    .to_owned(),
            ));
        }
        let number = |word: String| {
            self.vocabulary.number(&word).ok_or_else(|| {
                let word: String = word.chars().take(40).collect();
                HandlerError::BadInput(format!(
                    "{SOURCE_VOCAB} has no number for `{word}`, and none for unknown words: save a \
                     collections.Counter, or give `<unk>` a number"
                ))
            })
        };
        ngrams(&words, self.settings.ngrams).map(number).collect()
    }

    fn sample(&self, texts: &[Vec<i64>]) -> Result<(Vec<Value>, Bucket), HandlerError> {
        let mut offsets = Vec::with_capacity(texts.len());
        let mut numbers = Vec::new();
        for text in texts {
            offsets.push(numbers.len() as i64);
            numbers.extend_from_slice(text);
        }
        // Longer ones are batched with texts of about their length.
        let class = if numbers.len() <= SHORT { 0 } else { numbers.len().next_power_of_two() };
        let bucket = [(DType::Int64, vec![class])];
        Ok((vec![vector(numbers)?, vector(offsets)?], bucket.into()))
    }
}

impl Handler for WordClassifier {
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError> {
        let Texts { texts, form, is_list } = request::read(&input, self.torchserves_outputs)?;
        let numbers = texts.iter().map(|text| match &text.second {
            None => self.numbers(&text.first),
            Some(_) => Err(HandlerError::BadInput("the model takes one text, not pairs".into())),
        });
        let numbers: Vec<_> = numbers.collect::<Result<_, _>>()?;
        let (arguments, bucket) = self.sample(&numbers)?;
        let kept = Kept::new(IsList(is_list));
        let asked = Asked { kept, ..Asked::new(numbers.len(), form) };
        Ok(Sample { arguments, bucket: Some(bucket), asked, inferred: 0 })
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        if let [only] = samples.as_slice() {
            return Ok(only.arguments.clone());
        }
        let (mut numbers, mut offsets) = (Vec::new(), Vec::new());
        for sample in &samples {
            let [Value::Tensor(own), Value::Tensor(starts)] = sample.arguments.as_slice() else {
                return Err(HandlerError::Model("samples that are no texts".to_owned()));
            };
            let (Elements::Int64(own), Elements::Int64(starts)) =
                (own.elements(), starts.elements())
            else {
                return Err(HandlerError::Model("samples that are no texts".to_owned()));
            };
            let before = numbers.len() as i64;
            offsets.extend(starts.iter().map(|start| before + start));
            numbers.extend_from_slice(own);
        }
        Ok(vec![vector(numbers)?, vector(offsets)?])
    }

    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        let expected = asked.iter().map(|asked| asked.rows).sum::<usize>();
        let refuse = || {
            HandlerError::Model(format!(
                "text_classifier serves a model that returns floats of shape [{expected}, classes]"
            ))
        };
        let Value::Tensor(tensor) = &output else { return Err(refuse()) };
        let classes_of_it = match *tensor.shape() {
            [rows, classes_of_it] if rows == expected && classes_of_it > 0 => classes_of_it,
            _ => return Err(refuse()),
        };
        let mut numbers = floats(tensor).ok_or_else(refuse)?.into_owned();
        let activation = self.settings.activation.unwrap_or(Activation::Softmax);
        numbers.chunks_exact_mut(classes_of_it).for_each(|row| activation.apply(row));
        let mut rows = numbers.chunks_exact(classes_of_it);
        let answers = asked.iter().map(|asked| {
            let own: Vec<&[f32]> = rows.by_ref().take(asked.rows).collect();
            let is_list = asked.kept.get::<IsList>().is_some_and(|kept| kept.0);
            json_rows::write(&self.served, &asked.form, is_list, own.len(), |text, index| {
                let order = match self.settings.top_k {
                    Some(count) => best(own[index], count),
                    None => (0..classes_of_it).collect(),
                };
                classes(text, &self.labels, own[index], &order);
            })
        });
        answers.collect()
    }

    fn inputs(&self) -> Vec<TensorMetadata> {
        vec![TensorMetadata::bytes("text")]
    }

    fn outputs(&self) -> Vec<TensorMetadata> {
        vec![TensorMetadata::bytes(OUTPUT)]
    }

    fn preprocess_is_cheap(&self, input: &RequestInput) -> bool {
        input.payload().is_none_or(|payload| payload.value.len() <= 1 << 10)
    }

    fn example(&self, rows: usize) -> Option<Vec<Value>> {
        // The first numbers are there in every vocabulary that is not empty.
        let texts = vec![vec![0, 1, 0]; rows];
        self.sample(&texts).ok().map(|(arguments, _)| arguments)
    }
}

fn vector(numbers: Vec<i64>) -> Result<Value, HandlerError> {
    HostTensor::new(vec![numbers.len()], Elements::Int64(numbers))
        .map(Value::Tensor)
        .map_err(|error| HandlerError::Model(error.to_string()))
}
