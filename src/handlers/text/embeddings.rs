//! Embeddings: the vectors of a text's tokens made one, as `sentence-transformers` does it.

use std::borrow::Cow;

use super::settings::Pooling;
use super::tokens::{TokenModel, split, tensor, tokenized};
use crate::engine::{Elements, Value};
use crate::handlers::activation::floats;
use crate::handlers::json_rows::{OUTPUT, write};
use crate::handlers::json_text::Brackets;
use crate::handlers::open_inference_answer::{self, Output, OutputData};
use crate::handlers::{Asked, Form, HandlerError, Prediction};

/// One answer for each request: a list of numbers for each text.
pub(super) fn answers(
    model: &TokenModel,
    output: &Value,
    asked: &[Asked],
) -> Result<Vec<Prediction>, HandlerError> {
    let names = ["sentence_embedding", "last_hidden_state", "embeddings", "pooler_output"];
    let tensor = tensor(output, &names)?;
    let numbers = floats(tensor);
    let (length, size) = match (&numbers, tensor.shape()) {
        (Some(_), [_, size]) => (None, *size),
        (Some(_), [_, length, size]) => (Some(*length), *size),
        _ => {
            return Err(HandlerError::Model(format!(
                "the task `embedding` needs floats of shape [texts, size] or [texts, tokens, \
                 size], got {tensor:?}"
            )));
        }
    };
    let numbers = numbers.unwrap_or_default();
    let width = length.unwrap_or(1) * size;
    let rows = split(tensor, &numbers, width, asked)?;
    let pooling = model.settings.pooling.unwrap_or(match length {
        Some(_) => Pooling::Mean,
        None => Pooling::None,
    });
    if matches!((pooling, length), (Pooling::None, Some(_))) {
        return Err(HandlerError::Model(
            "pooling is none, and the model returns a vector for each token".to_owned(),
        ));
    }
    let answer = |(asked, own): (&Asked, &[f32])| {
        let kept = tokenized(asked)?;
        let parts = kept.texts.iter().flat_map(|text| &text.parts);
        let mut vectors = Vec::with_capacity(asked.rows * size);
        for (part, row) in parts.zip(own.chunks_exact(width.max(1))) {
            let mask = part.get_attention_mask();
            let mut vector = match (pooling, length) {
                (Pooling::Mean, Some(_)) => mean(row, size, mask),
                (Pooling::Cls, Some(_)) => {
                    let first = mask.iter().position(|real| *real == 1).unwrap_or(0);
                    row[first * size..(first + 1) * size].to_vec()
                }
                _ => row.to_vec(),
            };
            if model.settings.normalize {
                normalize(&mut vector);
            }
            vectors.extend(vector);
        }
        if let Form::OpenInference(wanted) = &asked.form
            && wanted.named_after.is_none()
        {
            let range = 0..vectors.len();
            let data = OutputData::Numbers(Cow::Owned(Elements::Float32(vectors)), range);
            let (name, shape) = (OUTPUT.to_owned(), vec![asked.rows, size]);
            let outputs = vec![Output { name, shape, data }];
            return open_inference_answer::write(&model.served, wanted, outputs);
        }
        write(&model.served, &asked.form, kept.is_list, asked.rows, |text, index| {
            text.open(Brackets::Array);
            for number in &vectors[index * size..(index + 1) * size] {
                text.item();
                text.float(f64::from(*number));
            }
            text.close(Brackets::Array);
        })
    };
    asked.iter().zip(rows).map(answer).collect()
}

/// The mean of the vectors of real tokens.
fn mean(row: &[f32], size: usize, mask: &[u32]) -> Vec<f32> {
    let mut sums = vec![0f32; size];
    let real = row.chunks_exact(size.max(1)).zip(mask).filter(|(_, real)| **real == 1);
    let mut count = 0f32;
    for (vector, _) in real {
        count += 1.0;
        sums.iter_mut().zip(vector).for_each(|(sum, number)| *sum += number);
    }
    let count = count.max(1e-9);
    sums.iter_mut().for_each(|sum| *sum /= count);
    sums
}

/// `torch.nn.functional.normalize`.
fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt() as f32;
    let length = length.max(1e-12);
    vector.iter_mut().for_each(|number| *number /= length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_no_part_of_the_mean() {
        let row = [1.0, 2.0, 3.0, 4.0, 100.0, 100.0];
        assert_eq!(mean(&row, 2, &[1, 1, 0]), [2.0, 3.0]);
        assert_eq!(mean(&row, 2, &[0, 0, 0]), [0.0, 0.0]);
        let mut vector = [3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut nothing = [0.0, 0.0];
        normalize(&mut nothing);
        assert_eq!(nothing, [0.0, 0.0]);
    }
}
