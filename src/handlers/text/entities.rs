//! Classes of tokens: the entities of a text, in the form of `transformers`' pipeline
//! `token-classification`.

use super::settings::Aggregation;
use super::tokens::{TokenModel, split, tensor, tokenized};
use crate::engine::Value;
use crate::handlers::activation::{Activation, best, floats};
use crate::handlers::json_rows::write;
use crate::handlers::json_text::{Brackets, JsonText};
use crate::handlers::{Asked, HandlerError, Prediction};

/// A token, or several that are one entity.
struct Entity {
    label: String,
    score: f32,
    /// The token's place in the tokens; none of a group.
    index: Option<usize>,
    words: Vec<String>,
    /// Characters.
    start: usize,
    end: usize,
}

/// One answer for each request: a list of entities for each text.
pub(super) fn answers(
    model: &TokenModel,
    output: &Value,
    asked: &[Asked],
) -> Result<Vec<Prediction>, HandlerError> {
    let tensor = tensor(output, &["logits"])?;
    let (Some(numbers), [_, length, count]) = (floats(tensor), tensor.shape()) else {
        return Err(HandlerError::Model(format!(
            "the task `token_classification` needs floats of shape [texts, tokens, classes], got \
             {tensor:?}"
        )));
    };
    let (mut numbers, length, count) = (numbers.into_owned(), *length, *count);
    let activation = model.settings.activation.unwrap_or(Activation::Softmax);
    numbers.chunks_exact_mut(count.max(1)).for_each(|row| activation.apply(row));
    let rows = split(tensor, &numbers, length * count, asked)?;
    let answer = |(asked, own): (&Asked, &[f32])| {
        let kept = tokenized(asked)?;
        let mut found = Vec::with_capacity(kept.texts.len());
        let texts = kept.texts.iter().zip(own.chunks_exact((length * count).max(1)));
        for (text, row) in texts {
            let Some(part) = text.parts.first() else { continue };
            if part.len() != length {
                return Err(HandlerError::Model(format!(
                    "the model returned {length} rows for {} tokens",
                    part.len()
                )));
            }
            let tokens = row.chunks_exact(count.max(1)).enumerate();
            let real = tokens.filter(|(index, _)| part.get_special_tokens_mask()[*index] == 0);
            let entities = real.filter_map(|(index, scores)| {
                let class = *best(scores, 1).first()?;
                let (start, end) = part.get_offsets()[index];
                Some(Entity {
                    label: model.labels.name(class).into_owned(),
                    score: scores[class],
                    index: Some(index),
                    words: vec![part.get_tokens()[index].clone()],
                    start,
                    end,
                })
            });
            let mut entities: Vec<Entity> = entities.collect();
            if model.settings.aggregation == Aggregation::Simple {
                entities = grouped(entities);
            }
            entities.retain(|entity| !model.settings.ignore_labels.contains(&entity.label));
            found.push(entities);
        }
        write(&model.served, &asked.form, kept.is_list, found.len(), |text, index| {
            text.open(Brackets::Array);
            for entity in &found[index] {
                text.item();
                entity.write(text, model);
            }
            text.close(Brackets::Array);
        })
    };
    asked.iter().zip(rows).map(answer).collect()
}

// === impl Entity ===

impl Entity {
    fn write(&self, text: &mut JsonText, model: &TokenModel) {
        text.open(Brackets::Object);
        text.member(if self.index.is_some() { "entity" } else { "entity_group" });
        text.string(&self.label);
        text.member("score");
        text.float(f64::from(self.score));
        if let Some(index) = self.index {
            text.member("index");
            text.int(index as i64);
        }
        text.member("word");
        match self.index {
            Some(_) => text.string(&self.words.concat()),
            None => text.string(&model.tokenizer.text(self.words.clone())),
        }
        text.member("start");
        text.int(self.start as i64);
        text.member("end");
        text.int(self.end as i64);
        text.close(Brackets::Object);
    }
}

/// Neighbours with one kind of entity are one, unless a new one begins (`B-`).
fn grouped(entities: Vec<Entity>) -> Vec<Entity> {
    let mut groups: Vec<Vec<Entity>> = Vec::new();
    for entity in entities {
        let last = groups.last().and_then(|group| group.last());
        let goes_on = last.is_some_and(|last| {
            let ((begins, kind), (_, before)) = (parts(&entity.label), parts(&last.label));
            !begins && kind == before
        });
        match groups.last_mut().filter(|_| goes_on) {
            Some(group) => group.push(entity),
            None => groups.push(vec![entity]),
        }
    }
    let joined = |group: Vec<Entity>| {
        let (first, last) = (group.first()?, group.last()?);
        // `label.split("-", 1)[-1]`
        let label = first.label.split_once('-').map_or(first.label.as_str(), |(_, kind)| kind);
        let scores = group.iter().map(|entity| f64::from(entity.score));
        Some(Entity {
            label: label.to_owned(),
            score: (scores.sum::<f64>() / group.len() as f64) as f32,
            index: None,
            start: first.start,
            end: last.end,
            words: group.iter().flat_map(|entity| entity.words.clone()).collect(),
        })
    };
    groups.into_iter().filter_map(joined).collect()
}

/// Does a new entity begin, and of which kind is it?
fn parts(label: &str) -> (bool, &str) {
    if let Some(kind) = label.strip_prefix("B-") {
        return (true, kind);
    }
    (false, label.strip_prefix("I-").unwrap_or(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(label: &str, score: f32, word: &str, start: usize) -> Entity {
        let (label, words) = (label.to_owned(), vec![word.to_owned()]);
        Entity { label, score, index: Some(0), words, start, end: start + word.len() }
    }

    #[test]
    fn neighbours_of_one_kind_are_joined_until_another_begins() {
        let entities = vec![
            entity("B-PER", 0.5, "Ada", 0),
            entity("I-PER", 1.0, "Lovelace", 4),
            entity("B-PER", 1.0, "Bob", 13),
            entity("O", 1.0, "in", 17),
            entity("I-LOC", 1.0, "Rome", 20),
        ];
        let groups = grouped(entities);
        let told: Vec<_> = groups.iter().map(|g| (g.label.as_str(), g.start, g.end)).collect();
        assert_eq!(told, [("PER", 0, 12), ("PER", 13, 16), ("O", 17, 19), ("LOC", 20, 24)]);
        assert!((groups[0].score - 0.75).abs() < 1e-6);
    }
}
