//! Answers to questions: the place in a context, in the form of `transformers`' pipeline
//! `question-answering`.

use tokenizers::Encoding;

use super::tokens::{TokenModel, TokenizedText, tokenized};
use crate::engine::{HostTensor, Value};
use crate::handlers::activation::floats;
use crate::handlers::json_rows::write;
use crate::handlers::json_text::{Brackets, JsonText};
use crate::handlers::{Asked, HandlerError, Prediction};

/// A part of a context that may be the answer.
#[derive(Clone, Debug, PartialEq)]
struct Span {
    score: f32,
    /// Characters of the context.
    start: usize,
    end: usize,
}

/// What a token that cannot be in an answer gets in place of its number, as there.
const NEVER: f32 = -10_000.0;

/// Tokens in front of a question that take the probability of no answer.
const CLASS_TOKENS: [&str; 2] = ["[CLS]", "<s>"];

/// One answer for each request: the best answer to each question, or a list of the best.
pub(super) fn answers(
    model: &TokenModel,
    output: &Value,
    asked: &[Asked],
) -> Result<Vec<Prediction>, HandlerError> {
    let (starts, ends) = starts_and_ends(output)?;
    let expected = asked.iter().map(|asked| asked.rows).sum::<usize>();
    let length = match *starts.shape() {
        [rows, length] if rows == expected && starts.shape() == ends.shape() => length,
        _ => {
            return Err(HandlerError::Model(format!(
                "the task `question_answering` needs starts and ends of shape [{expected}, tokens], \
                 got {starts:?} and {ends:?}"
            )));
        }
    };
    let (Some(start_numbers), Some(end_numbers)) = (floats(&starts), floats(&ends)) else {
        return Err(HandlerError::Model("starts and ends must be floats".to_owned()));
    };
    let top = model.settings.top_k.unwrap_or(1);
    let class_ids: Vec<u32> =
        CLASS_TOKENS.iter().filter_map(|token| model.tokenizer.id(token)).collect();
    let mut row = 0;
    let mut predictions = Vec::with_capacity(asked.len());
    for asked in asked {
        let kept = tokenized(asked)?;
        let mut found = Vec::with_capacity(kept.texts.len());
        for TokenizedText { text, parts } in &kept.texts {
            let context = text.second.as_deref().unwrap_or_default();
            let mut spans: Vec<Span> = Vec::new();
            for part in parts {
                let at = row * length..(row + 1) * length;
                row += 1;
                if part.len() != length {
                    let reason = format!("{length} numbers for {} tokens", part.len());
                    return Err(HandlerError::Model(reason));
                }
                let (starts, ends) = (&start_numbers[at.clone()], &end_numbers[at]);
                let longest = model.settings.max_answer_length;
                // As many as there: some of them are the same words.
                let candidates = best_spans(part, starts, ends, &class_ids, longest, top * 2 + 10);
                candidates.into_iter().for_each(|span| span.join(&mut spans, context));
            }
            spans.sort_by(|a, b| b.score.total_cmp(&a.score));
            spans.truncate(top);
            found.push(spans);
        }
        let is_one = model.settings.top_k.is_none();
        let texts = &kept.texts;
        predictions.push(write(
            &model.served,
            &asked.form,
            kept.is_list,
            found.len(),
            |text, index| {
                let context = texts[index].text.second.as_deref().unwrap_or_default();
                match found[index].as_slice() {
                    [only] if is_one => only.write(text, context),
                    spans => {
                        text.open(Brackets::Array);
                        for span in spans {
                            text.item();
                            span.write(text, context);
                        }
                        text.close(Brackets::Array);
                    }
                }
            },
        )?);
    }
    Ok(predictions)
}

/// Two tensors, or one whose last dimension has both.
fn starts_and_ends(output: &Value) -> Result<(HostTensor, HostTensor), HandlerError> {
    let named = |members: &[(String, Value)], name: &str| {
        members.iter().find(|(key, _)| key == name).and_then(|(_, value)| match value {
            Value::Tensor(tensor) => Some(tensor.clone()),
            _ => None,
        })
    };
    let refuse = || {
        HandlerError::Model(
            "the task `question_answering` needs start_logits and end_logits: a dict, a tuple, or \
             one tensor of shape [texts, tokens, 2]"
                .to_owned(),
        )
    };
    match output {
        Value::Dict(members) => {
            named(members, "start_logits").zip(named(members, "end_logits")).ok_or_else(refuse)
        }
        Value::Tuple(items) | Value::List(items) => match items.as_slice() {
            [Value::Tensor(starts), Value::Tensor(ends), ..] => Ok((starts.clone(), ends.clone())),
            _ => Err(refuse()),
        },
        Value::Tensor(both) => {
            let (Some(numbers), &[rows, length, 2]) = (floats(both), both.shape()) else {
                return Err(refuse());
            };
            let half = |which: usize| {
                let numbers = numbers.iter().skip(which).step_by(2).copied().collect();
                HostTensor::new(vec![rows, length], crate::engine::Elements::Float32(numbers))
            };
            half(0).ok().zip(half(1).ok()).ok_or_else(refuse)
        }
        _ => Err(refuse()),
    }
}

/// The best spans of one part of a context, best first.
fn best_spans(
    part: &Encoding,
    starts: &[f32],
    ends: &[f32],
    class_ids: &[u32],
    longest: usize,
    top: usize,
) -> Vec<Span> {
    let sequences = part.get_sequence_ids();
    let (ids, mask) = (part.get_ids(), part.get_attention_mask());
    let is_class = |at: usize| class_ids.contains(&ids[at]);
    let allowed: Vec<bool> = (0..part.len())
        .map(|at| mask[at] == 1 && (sequences[at] == Some(1) || is_class(at)))
        .collect();
    let probabilities = |numbers: &[f32]| {
        let numbers = numbers.iter().zip(&allowed);
        let mut row: Vec<f32> =
            numbers.map(|(number, allowed)| if *allowed { *number } else { NEVER }).collect();
        crate::handlers::activation::Activation::Softmax.apply(&mut row);
        // No answer is none.
        if let Some(first) = row.first_mut() {
            *first = 0.0;
        }
        row
    };
    let (starts, ends) = (probabilities(starts), probabilities(ends));
    let mut spans: Vec<Span> = Vec::new();
    for (start, first) in starts.iter().enumerate().filter(|(at, _)| allowed[*at]) {
        let last = (start + longest).min(ends.len());
        for (end, second) in ends.iter().enumerate().take(last).skip(start) {
            let score = first * second;
            let is_better =
                spans.len() < top || spans.last().is_some_and(|span| span.score < score);
            if !allowed[end] || !is_better {
                continue;
            }
            let Some((from, to)) = characters(part, start, end) else { continue };
            let place = spans.partition_point(|span| span.score >= score);
            spans.insert(place, Span { score, start: from, end: to });
            spans.truncate(top);
        }
    }
    spans
}

/// The characters of the words in which the tokens are; none outside of the context.
fn characters(part: &Encoding, start: usize, end: usize) -> Option<(usize, usize)> {
    let sequences = part.get_sequence_ids();
    if sequences[start] != Some(1) || sequences[end] != Some(1) {
        return None;
    }
    let own = |token: usize| part.get_offsets()[token];
    let word = |token: usize| match part.token_to_word(token) {
        Some((sequence, word)) => part.word_to_chars(word, sequence),
        None => None,
    };
    // A word that was cut at the edge of the part is known by its token.
    let from = word(start).map_or(own(start).0, |word| word.0.min(own(start).0));
    let to = word(end).map_or(own(end).1, |word| word.1.max(own(end).1));
    Some((from, to))
}

// === impl Span ===

impl Span {
    /// Among the spans found so far: the same answer is one, and its scores are added, as there.
    fn join(self, spans: &mut Vec<Span>, context: &str) {
        let answer = self.answer(context).to_lowercase();
        match spans.iter_mut().find(|span| span.answer(context).to_lowercase() == answer) {
            Some(same) => same.score += self.score,
            None => spans.push(self),
        }
    }

    fn answer(&self, context: &str) -> String {
        let length = self.end.saturating_sub(self.start);
        context.chars().skip(self.start).take(length).collect()
    }

    fn write(&self, text: &mut JsonText, context: &str) {
        text.open(Brackets::Object);
        text.member("score");
        text.float(f64::from(self.score));
        text.member("start");
        text.int(self.start as i64);
        text.member("end");
        text.int(self.end as i64);
        text.member("answer");
        text.string(&self.answer(context));
        text.close(Brackets::Object);
    }
}
