//! Classes of texts: labels and probabilities.

use super::tokens::{TokenModel, split, tensor, tokenized};
use crate::engine::Value;
use crate::handlers::activation::{Activation, best, floats};
use crate::handlers::json_rows::{classes, write};
use crate::handlers::{Asked, HandlerError, Prediction};

/// One answer for each request: all classes in their order, or the best.
pub(super) fn answers(
    model: &TokenModel,
    output: &Value,
    asked: &[Asked],
) -> Result<Vec<Prediction>, HandlerError> {
    let tensor = tensor(output, &["logits", "scores"])?;
    let (Some(numbers), [_, count]) = (floats(tensor), tensor.shape()) else {
        return Err(HandlerError::Model(format!(
            "the task `classification` needs floats of shape [texts, classes], got {tensor:?}"
        )));
    };
    let (mut numbers, count) = (numbers.into_owned(), *count);
    // One class alone is a score that is right or not, as in `transformers`.
    let usual = if count == 1 { Activation::Sigmoid } else { Activation::Softmax };
    let activation = model.settings.activation.unwrap_or(usual);
    numbers.chunks_exact_mut(count.max(1)).for_each(|row| activation.apply(row));
    let rows = split(tensor, &numbers, count, asked)?;
    let answer = |(asked, own): (&Asked, &[f32])| {
        let kept = tokenized(asked)?;
        write(&model.served, &asked.form, kept.is_list, asked.rows, |text, index| {
            let row = &own[index * count..(index + 1) * count];
            let order = match model.settings.top_k {
                Some(top) => best(row, top),
                None => (0..count).collect(),
            };
            classes(text, &model.labels, row, &order);
        })
    };
    asked.iter().zip(rows).map(answer).collect()
}
