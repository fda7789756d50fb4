//! Explanations by occlusion: parts of the input are set to zero, one at a time, and what the model
//! then says less is what that part is worth (captum's `Occlusion` and `FeatureAblation` with
//! baseline 0 and windows that do not overlap).
//!
//! Called by the handlers on the worker. The model is seen through its `forward` alone: it need not be
//! differentiable. A part is a square of a picture (all channels of a tensor `[rows, ..., H, W]` with
//! four dimensions or more), else some neighbouring numbers of a row. The attribution of each number is
//! that of its part: `score(input) - score(input without the part)`, of one output of the model before
//! softmax.
//!
//! The cost is bounded by the operator, in `model-config.yaml`:
//!
//! ```yaml
//! explanations:
//!   patches: 64       # parts of one input, 1 to 4096; a picture is cut into 8x8 squares
//!   batch_size: 8     # parts that one forward tries together, 1 to 256
//! ```

use serde_json::Value as Json;

use super::{Asked, ExplainError, Forward, HandlerError, Task};
use crate::engine::{Elements, EngineError, HostTensor, Value};

/// The key `explanations` of a `model-config.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExplanationSettings {
    /// Parts of one input.
    patches: usize,
    /// Parts of one forward.
    batch_size: usize,
}

/// One argument, and which of its numbers belong together.
struct Occluded {
    tensor: HostTensor,
    /// The part of each number of a row, counted over all arguments; none when the argument is kept
    /// whole.
    parts: Option<Vec<usize>>,
}

/// What is explained of each row: the model's output, and its score.
struct Scored {
    /// Index of the output among those of a row.
    target: usize,
    score: f64,
}

const MAX_PATCHES: usize = 4096;
const MAX_BATCH_SIZE: usize = 256;
/// The most numbers of one forward's arguments: 256 MiB of `float32`.
const MAX_ELEMENTS: usize = 1 << 26;

// === impl ExplanationSettings ===

impl ExplanationSettings {
    /// Reads the key.
    ///
    /// # Errors
    /// [`HandlerError::Model`] that names what is wrong.
    pub(super) fn read(model_config: &Json) -> Result<ExplanationSettings, HandlerError> {
        let mut settings = ExplanationSettings { patches: 64, batch_size: 8 };
        let members = match model_config.get("explanations") {
            None | Some(Json::Null) => return Ok(settings),
            Some(Json::Object(members)) => members,
            Some(_) => return Err(wrong("must be a map of patches and batch_size")),
        };
        for (key, value) in members {
            let (place, most) = match key.as_str() {
                "patches" => (&mut settings.patches, MAX_PATCHES),
                "batch_size" => (&mut settings.batch_size, MAX_BATCH_SIZE),
                _ => return Err(wrong("has an unknown key; known: patches, batch_size")),
            };
            let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
            *place = number
                .filter(|number| (1..=most).contains(number))
                .ok_or_else(|| wrong(&format!("{key} must be a whole number from 1 to {most}")))?;
        }
        Ok(settings)
    }
}

fn wrong(what: &str) -> HandlerError {
    HandlerError::Model(format!("model-config.yaml: explanations {what}"))
}

/// The attributions of each number of the arguments that are floats: tensors of their shapes, in a
/// tuple when they are several.
///
/// # Errors
/// The arguments have nothing to take away, or no rows in common; the model gives no scores; what
/// `forward` says.
pub(super) fn attributions(
    settings: &ExplanationSettings,
    arguments: Vec<Value>,
    asked: &[Asked],
    forward: &mut Forward<'_>,
) -> Result<Value, ExplainError> {
    let rows = asked.iter().map(|asked| asked.rows).sum::<usize>();
    let (occluded, parts) = occlude(settings, arguments, rows)?;
    let whole = forward(tensors(&occluded))?;
    let scores = scores(&whole, rows, 1)?;
    let scored = targets(&scores, asked)?;

    let mut drops = vec![0.0; parts * rows];
    let row_len: usize = occluded.iter().map(|each| each.tensor.len() / rows).sum();
    let room = (MAX_ELEMENTS / row_len.max(1) / rows).max(1);
    let mut together = settings.batch_size.min(room);
    let mut start = 0;
    while start < parts {
        let count = together.min(parts - start);
        let output = match forward(perturbed(&occluded, start, count, rows)?) {
            Ok(output) => output,
            // A model of a fixed batch size: one part at a time.
            Err(ExplainError::Engine(EngineError::InputRefused(_) | EngineError::Failed(_)))
                if count > 1 =>
            {
                together = 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        let all = self::scores(&output, rows, count)?;
        for (at, row) in all.iter().enumerate() {
            let Scored { target, score } = &scored[at % rows];
            let less = score - row.get(*target).copied().unwrap_or(f64::NAN);
            drops[start * rows + at] = less;
        }
        start += count;
    }
    let mut found = occluded.iter().filter_map(|each| each.attributed(&drops, rows));
    match (found.next().transpose()?, found.next().transpose()?) {
        (Some(only), None) => Ok(Value::Tensor(only)),
        (first, second) => {
            let several = first.into_iter().chain(second).map(Ok).chain(found);
            let several = several.map(|each| each.map(Value::Tensor));
            Ok(Value::Tuple(several.collect::<Result<_, HandlerError>>()?))
        }
    }
}

/// The arguments and the number of parts of all of them.
fn occlude(
    settings: &ExplanationSettings,
    arguments: Vec<Value>,
    rows: usize,
) -> Result<(Vec<Occluded>, usize), HandlerError> {
    let mut parts = 0;
    let mut occluded = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let Value::Tensor(tensor) = argument else {
            return Err(bad("only models that take tensors alone can be explained"));
        };
        if rows == 0 || tensor.rows() != Some(rows) {
            return Err(bad("an explanation needs inputs with one row for each sample"));
        }
        let shape = &tensor.shape()[1..];
        let own = (tensor.dtype().is_float() && !tensor.is_empty()).then(|| {
            let own = parts_of(shape, settings.patches);
            let last = own.iter().copied().max().unwrap_or(0);
            let own = own.into_iter().map(|part| part + parts).collect();
            parts += last + 1;
            own
        });
        occluded.push(Occluded { tensor, parts: own });
    }
    if parts == 0 {
        return Err(bad(
            "an explanation needs an input of floating-point numbers, which can be taken away",
        ));
    }
    Ok((occluded, parts))
}

/// The part of each number of a row of this shape: at most `most` of them.
fn parts_of(shape: &[usize], most: usize) -> Vec<usize> {
    let len: usize = shape.iter().product();
    if let [.., _, height, width] = *shape {
        let side = most.isqrt();
        let (down, across) = (side.min(height), side.min(width));
        let part = |at: usize| {
            let (y, x) = (at / width % height, at % width);
            y * down / height * across + x * across / width
        };
        return (0..len).map(part).collect();
    }
    let count = most.min(len);
    (0..len).map(|at| at * count / len).collect()
}

fn tensors(occluded: &[Occluded]) -> Vec<Value> {
    occluded.iter().map(|each| Value::Tensor(each.tensor.clone())).collect()
}

/// The arguments `count` times, one behind the other, each time without one of the parts from
/// `start` on.
fn perturbed(
    occluded: &[Occluded],
    start: usize,
    count: usize,
    rows: usize,
) -> Result<Vec<Value>, HandlerError> {
    let repeat = |each: &Occluded| {
        let dtype = each.tensor.dtype();
        let mut elements = Elements::zeros(dtype, each.tensor.len() * count);
        let (bytes, size) = (each.tensor.as_bytes(), dtype.size());
        let row_len = each.tensor.len() / rows;
        for (at, copy) in elements.as_bytes_mut().chunks_exact_mut(bytes.len().max(1)).enumerate() {
            copy.copy_from_slice(bytes);
            let Some(parts) = &each.parts else { continue };
            let taken = |(place, part): (usize, &usize)| (*part == start + at).then_some(place);
            for place in parts.iter().enumerate().filter_map(taken) {
                for row in 0..rows {
                    let from = (row * row_len + place) * size;
                    copy[from..from + size].fill(0);
                }
            }
        }
        let mut shape = each.tensor.shape().to_vec();
        shape[0] = rows * count;
        HostTensor::new(shape, elements)
            .map(Value::Tensor)
            .map_err(|error| HandlerError::Model(error.to_string()))
    };
    occluded.iter().map(repeat).collect()
}

/// The outputs of each row of a result of `rows` times `count` rows.
fn scores(output: &Value, rows: usize, count: usize) -> Result<Vec<Vec<f64>>, HandlerError> {
    let expected = rows * count;
    let refuse = || {
        let text = "only models that give one tensor with a row of scores for each sample can be \
                    explained";
        HandlerError::Model(format!("{text}, got {output:?}"))
    };
    let Value::Tensor(tensor) = output else { return Err(refuse()) };
    if tensor.rows() != Some(expected) || tensor.is_empty() || !tensor.dtype().is_float() {
        return Err(refuse());
    }
    let values: Vec<f64> = match tensor.elements() {
        Elements::Float64(values) => values.clone(),
        Elements::Float32(values) => values.iter().map(|value| f64::from(*value)).collect(),
        Elements::Float16(values) => values.iter().map(|value| f64::from(*value)).collect(),
        Elements::Bfloat16(values) => values.iter().map(|value| f64::from(*value)).collect(),
        _ => return Err(refuse()),
    };
    Ok(values.chunks_exact(values.len() / expected).map(<[f64]>::to_vec).collect())
}

/// The output to explain of each row: the one that was asked for, else the greatest.
fn targets(scores: &[Vec<f64>], asked: &[Asked]) -> Result<Vec<Scored>, HandlerError> {
    let tasks = asked.iter().flat_map(|asked| std::iter::repeat_n(asked.task, asked.rows));
    let scored = scores.iter().zip(tasks).map(|(row, task)| {
        let target = match task {
            Task::Explain { target: Some(target) } => target,
            Task::Explain { target: None } | Task::Predict => {
                let greatest = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
                greatest.map_or(0, |(at, _)| at)
            }
        };
        let score = row.get(target).copied().ok_or_else(|| {
            bad(&format!("target is {target}, and the model has {} outputs", row.len()))
        });
        score.map(|score| Scored { target, score })
    });
    scored.collect()
}

fn bad(reason: &str) -> HandlerError {
    HandlerError::BadInput(reason.to_owned())
}

// === impl Occluded ===

impl Occluded {
    /// The attribution of each number; none of an argument that was kept whole.
    fn attributed(&self, drops: &[f64], rows: usize) -> Option<Result<HostTensor, HandlerError>> {
        let parts = self.parts.as_ref()?;
        let values =
            (0..rows).flat_map(|row| parts.iter().map(move |part| drops[part * rows + row] as f32));
        let elements = Elements::Float32(values.collect());
        let tensor = HostTensor::new(self.tensor.shape().to_vec(), elements);
        Some(tensor.map_err(|error| HandlerError::Model(error.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::handlers::Form;

    fn float32(shape: &[usize], values: &[f32]) -> Value {
        Value::Tensor(HostTensor::new(shape.to_vec(), Elements::Float32(values.to_vec())).unwrap())
    }

    fn ask(rows: usize, target: Option<usize>) -> Vec<Asked> {
        vec![Asked { task: Task::Explain { target }, ..Asked::new(rows, Form::Plain) }]
    }

    /// Two scores for each row: the sum of the row, and minus the sum. Refuses more than `most` rows.
    fn sums(arguments: Vec<Value>, most: usize) -> Result<Value, ExplainError> {
        let Value::Tensor(tensor) = &arguments[0] else { panic!("{arguments:?}") };
        let Elements::Float32(values) = tensor.elements() else { panic!("{tensor:?}") };
        let rows = tensor.rows().unwrap();
        if rows > most {
            return Err(EngineError::InputRefused("too many rows".into()).into());
        }
        let row_sums = values.chunks(values.len() / rows).map(|row| row.iter().sum::<f32>());
        Ok(float32(&[rows, 2], &row_sums.flat_map(|sum| [sum, -sum]).collect::<Vec<_>>()))
    }

    fn settings(patches: usize, batch_size: usize) -> ExplanationSettings {
        ExplanationSettings { patches, batch_size }
    }

    #[test]
    fn each_number_gets_what_its_part_is_worth() {
        let row = || vec![float32(&[1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0])];
        for (batch_size, most) in [(1, 100), (2, 100), (256, 100), (8, 1)] {
            let mut calls = 0;
            let mut forward = |arguments| {
                calls += 1;
                sums(arguments, most)
            };
            let run = settings(64, batch_size);
            let found = attributions(&run, row(), &ask(1, None), &mut forward).unwrap();
            assert_eq!(found, float32(&[1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]));
            assert!(calls <= 7, "{calls} forwards for 5 parts");
        }
        let mut forward = |arguments| sums(arguments, 100);
        let pairs = attributions(&settings(2, 8), row(), &ask(1, Some(1)), &mut forward);
        let expected = float32(&[1, 5], &[-6.0, -6.0, -6.0, -9.0, -9.0]);
        assert_eq!(pairs.unwrap(), expected, "parts of neighbours, against the other output");
        let rows = vec![float32(&[2, 2], &[1.0, 2.0, -3.0, -4.0])];
        let each = attributions(&settings(64, 8), rows, &ask(2, None), &mut forward).unwrap();
        assert_eq!(each, float32(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), "each row its greatest output");
    }

    #[test]
    fn pictures_are_cut_into_squares_over_all_channels() {
        assert_eq!(parts_of(&[1, 4, 4], 4), [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]);
        let two = parts_of(&[2, 2, 2], 64);
        assert_eq!(two, [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(parts_of(&[1, 3, 1], 5), [0, 0, 1], "no more than the picture has");
        assert_eq!(parts_of(&[5], 2), [0, 0, 0, 1, 1]);
        assert_eq!(parts_of(&[], 64), [0]);
    }

    #[test]
    fn it_ends_when_nobody_waits_and_when_the_model_cannot_be_explained() {
        let one = || vec![float32(&[1, 5], &[1.0; 5])];
        let mut left = 2;
        let mut forward = |arguments| {
            left -= 1;
            if left < 0 { Err(ExplainError::TooLate) } else { sums(arguments, 100) }
        };
        let late = attributions(&settings(64, 1), one(), &ask(1, None), &mut forward);
        assert_eq!(late, Err(ExplainError::TooLate));
        for output in [Value::Int(1), float32(&[2, 1], &[1.0, 2.0]), float32(&[1, 0], &[])] {
            let mut forward = |_| Ok(output.clone());
            let found = attributions(&settings(64, 8), one(), &ask(1, None), &mut forward);
            assert!(matches!(found, Err(ExplainError::Handler(HandlerError::Model(_)))));
        }
        let ints = HostTensor::new(vec![1, 2], Elements::Int64(vec![1, 2])).unwrap();
        for (arguments, rows) in [
            (vec![Value::Tensor(ints)], 1),
            (vec![Value::Int(1)], 1),
            (one(), 2),
            (vec![float32(&[0, 5], &[])], 0),
            (vec![], 1),
        ] {
            let mut forward = |arguments| sums(arguments, 100);
            let found = attributions(&settings(64, 8), arguments, &ask(rows, None), &mut forward);
            assert!(matches!(found, Err(ExplainError::Handler(HandlerError::BadInput(_)))));
        }
    }

    #[test]
    fn the_cost_is_the_operators_to_choose_within_bounds() {
        let read = |explanations| {
            ExplanationSettings::read(&json!({"explanations": explanations}))
                .map_err(|error| error.to_string())
        };
        assert_eq!(read(json!(null)), Ok(settings(64, 8)));
        assert_eq!(read(json!({"patches": 4096, "batch_size": 1})), Ok(settings(4096, 1)));
        for (wrong, said) in [
            (json!({"patches": 4097}), "patches must be a whole number from 1 to 4096"),
            (json!({"patches": 0}), "patches must be"),
            (json!({"batch_size": 257}), "batch_size must be a whole number from 1 to 256"),
            (json!({"size": 1}), "unknown key"),
            (json!([1]), "must be a map"),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.starts_with("model-config.yaml: explanations ") && error.contains(said));
        }
    }
}
