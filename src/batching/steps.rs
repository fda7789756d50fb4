//! Rows that are run one after the other, for a model that remembers. PURE: running is the caller's.
//!
//! Called by `work.rs` for a sample that asks for it (`Asked::in_steps`).

use crate::engine::{HostTensor, Value};

/// The arguments of one row: row `row` of each tensor that has `rows` of them, everything else as it
/// is.
///
/// # Errors
/// A row that is not there.
pub(super) fn row(arguments: &[Value], rows: usize, row: usize) -> Result<Vec<Value>, String> {
    let of = |argument: &Value| match argument {
        Value::Tensor(tensor) if tensor.rows() == Some(rows) => {
            tensor.narrow(row, 1).map(Value::Tensor).map_err(|error| error.to_string())
        }
        other => Ok(other.clone()),
    };
    arguments.iter().map(of).collect()
}

/// The results of all rows as if they were those of one batch.
///
/// # Errors
/// Results that are no rows: a plain value, or other shapes in each step.
pub(super) fn join(results: Vec<Value>) -> Result<Value, String> {
    let mut results = results.into_iter();
    let Some(first) = results.next() else { return Ok(Value::None) };
    match first {
        Value::Tensor(tensor) => {
            let mut parts = vec![tensor];
            for result in results {
                match result {
                    Value::Tensor(tensor) => parts.push(tensor),
                    _ => return Err("the steps gave results of different kinds".to_owned()),
                }
            }
            HostTensor::concat(parts).map(Value::Tensor).map_err(|error| error.to_string())
        }
        Value::Tuple(items) => join_lists(items, results, Value::Tuple),
        Value::List(items) => join_lists(items, results, Value::List),
        Value::Dict(members) => {
            let (names, items): (Vec<_>, Vec<_>) = members.into_iter().unzip();
            let others = results.map(|result| match result {
                Value::Dict(members) => Value::List(members.into_iter().map(|m| m.1).collect()),
                other => other,
            });
            join_lists(items, others, |items| Value::Dict(names.into_iter().zip(items).collect()))
        }
        Value::None => Ok(Value::None),
        Value::Int(_) | Value::Double(_) | Value::Bool(_) | Value::Str(_) => {
            Err("a step gave one value for the whole batch".to_owned())
        }
    }
}

fn join_lists(
    first: Vec<Value>,
    others: impl Iterator<Item = Value>,
    whole: impl FnOnce(Vec<Value>) -> Value,
) -> Result<Value, String> {
    let mut columns: Vec<Vec<Value>> = first.into_iter().map(|item| vec![item]).collect();
    for other in others {
        let (Value::Tuple(items) | Value::List(items)) = other else {
            return Err("the steps gave results of different kinds".to_owned());
        };
        if items.len() != columns.len() {
            return Err("the steps gave results of different lengths".to_owned());
        }
        columns.iter_mut().zip(items).for_each(|(column, item)| column.push(item));
    }
    Ok(whole(columns.into_iter().map(join).collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Elements;

    fn tensor(rows: usize, numbers: &[f32]) -> Value {
        let shape = vec![rows, numbers.len() / rows];
        Value::Tensor(HostTensor::new(shape, Elements::Float32(numbers.to_vec())).unwrap())
    }

    #[test]
    fn rows_are_taken_and_results_joined() {
        let arguments = [tensor(2, &[1.0, 2.0, 3.0, 4.0]), Value::Int(16_000)];
        assert_eq!(row(&arguments, 2, 1).unwrap(), [tensor(1, &[3.0, 4.0]), Value::Int(16_000)]);
        assert!(row(&arguments, 2, 2).is_err());
        let step = |number| {
            let members =
                vec![("p".to_owned(), tensor(1, &[number])), ("n".to_owned(), Value::None)];
            Value::Tuple(vec![Value::Dict(members)])
        };
        let Value::Tuple(joined) = join(vec![step(1.0), step(2.0)]).unwrap() else { panic!() };
        let members = vec![("p".to_owned(), tensor(2, &[1.0, 2.0])), ("n".to_owned(), Value::None)];
        assert_eq!(joined, [Value::Dict(members)]);
        assert!(join(vec![Value::Int(1), Value::Int(2)]).is_err());
        assert!(join(vec![tensor(1, &[1.0]), Value::None]).is_err());
    }
}
