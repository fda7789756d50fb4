//! Puts a request's inputs in the order of `forward`'s arguments.
//!
//! Made once per model by `base.rs` from the model's signature and the declared inputs. An
//! argument may be called by its name in the Python source or by its declared name; names that
//! nobody knows are taken by position, because traced models have names no client can guess.

use super::declared::Declared;
use super::example::Noise;
use super::{HandlerError, TensorMetadata};
use crate::engine::{DType, Signature, Value};

/// The arguments that a model's `forward` takes.
#[derive(Debug)]
pub(super) struct Arguments {
    slots: Vec<Slot>,
    /// The model does not tell its arguments: any number of them is passed on.
    open: bool,
}

/// One argument of `forward`.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The name in the Python source; empty when the model does not tell it.
    name: String,
    /// TorchScript's type; empty when the model does not tell it.
    pub(super) kind: String,
    required: bool,
    /// What the operator declared of it.
    pub(super) declared: Option<Declared>,
}

/// Most inputs that a request may have.
pub(super) const MAX_INPUTS: usize = 256;

// === impl Arguments ===

impl Arguments {
    /// Matches declared inputs to arguments.
    ///
    /// # Errors
    /// [`HandlerError::Model`] when more inputs are declared than there are arguments, or two are
    /// declared for one argument.
    pub(super) fn new(
        signature: &Signature,
        declared: Vec<Declared>,
    ) -> Result<Arguments, HandlerError> {
        let slots = signature.arguments.iter().map(|argument| Slot {
            name: argument.name.clone(),
            kind: argument.kind.clone(),
            required: argument.required,
            declared: None,
        });
        let mut arguments = Arguments { slots: slots.collect(), open: false };
        if arguments.slots.is_empty() {
            arguments.open = declared.is_empty();
            arguments
                .slots
                .resize_with(declared.len(), || Slot { required: true, ..Slot::default() });
        }
        let names: Vec<_> = declared.iter().map(|input| input.name.as_deref()).collect();
        let places = arguments.place(&names).map_err(|reason| {
            HandlerError::Model(format!("model-config.yaml: inputs: {reason}"))
        })?;
        for (input, place) in declared.into_iter().zip(places) {
            arguments.slots[place].declared = Some(input);
        }
        Ok(arguments)
    }

    /// The argument at `place`, if the model tells.
    pub(super) fn slot(&self, place: usize) -> Option<&Slot> {
        self.slots.get(place)
    }

    /// The declared input of a model that has exactly one argument that a request must give.
    pub(super) fn only_declared(&self) -> Option<&Declared> {
        let others_optional = self.slots.iter().skip(1).all(|slot| !slot.required);
        self.slots.first().filter(|_| others_optional)?.declared.as_ref()
    }

    /// Tensors of `rows` rows for every argument that a request must give, if all of their shapes
    /// are declared but for the batch dimension.
    pub(super) fn example(&self, rows: usize) -> Option<Vec<Value>> {
        let given = self.slots.iter().rposition(|slot| slot.required || slot.declared.is_some())?;
        let mut noise = Noise::new();
        let tensors = self.slots[..=given].iter().map(|slot| {
            let declared = slot.declared.as_ref()?;
            let [batch, sample @ ..] = declared.shape.as_deref()? else { return None };
            let mut shape = vec![batch.unwrap_or(rows)];
            for size in sample {
                shape.push((*size)?);
            }
            noise.tensor(declared.dtype, shape).map(Value::Tensor)
        });
        tensors.collect()
    }

    /// The arguments in the protocol's words; none of a model that does not tell.
    pub(super) fn metadata(&self) -> Vec<TensorMetadata> {
        self.slots.iter().map(Slot::metadata).collect()
    }

    /// The required arguments behind the first.
    pub(super) fn missing_after_first(&self) -> Vec<&str> {
        self.slots.iter().skip(1).filter(|slot| slot.required).map(Slot::shown).collect()
    }

    /// The argument's place for each input of a request.
    ///
    /// All by name when every name is an argument's; all by position when none is, or each that is
    /// stands in its own position already.
    ///
    /// # Errors
    /// Too many inputs, one argument twice, or names of which only some are known.
    pub(super) fn place(&self, names: &[Option<&str>]) -> Result<Vec<usize>, String> {
        let most = if self.open { MAX_INPUTS } else { self.slots.len() };
        if names.len() > most {
            return Err(if self.open {
                format!("{} inputs are too many; at most {most}", names.len())
            } else {
                let known = self.shown();
                format!("{} inputs for a model that takes {most} ({known})", names.len())
            });
        }
        let known: Vec<Option<usize>> = names
            .iter()
            .map(|name| name.and_then(|name| self.slots.iter().position(|slot| slot.is(name))))
            .collect();
        if let Some(by_name) = known.iter().copied().collect::<Option<Vec<usize>>>() {
            let twice = (1..by_name.len()).find(|at| by_name[..*at].contains(&by_name[*at]));
            return match twice {
                Some(at) => {
                    Err(format!("input `{}` is given twice", names[at].unwrap_or_default()))
                }
                None => Ok(by_name),
            };
        }
        let elsewhere =
            known.iter().enumerate().find(|(at, place)| place.is_some_and(|p| p != *at));
        if let Some((at, _)) = elsewhere {
            let odd = known.iter().position(Option::is_none).and_then(|at| names[at]);
            return Err(format!(
                "input `{}` is an argument's name and `{}` is none: name all inputs after the \
                 arguments ({}), or none of them",
                names[at].unwrap_or_default(),
                odd.unwrap_or_default(),
                self.shown()
            ));
        }
        Ok((0..names.len()).collect())
    }

    /// The positional arguments of `forward` from the values and their places.
    ///
    /// # Errors
    /// Required arguments are missing; or one is left out before one that is given and its default
    /// is not known to be `None`.
    pub(super) fn arrange(
        &self,
        places: &[usize],
        values: Vec<Value>,
    ) -> Result<Vec<Value>, String> {
        let missing: Vec<&str> = self
            .slots
            .iter()
            .enumerate()
            .filter(|(place, slot)| slot.required && !places.contains(place))
            .map(|(_, slot)| slot.shown())
            .collect();
        if !missing.is_empty() {
            return Err(format!(
                "missing {}; the model takes {}",
                missing.join(", "),
                self.shown()
            ));
        }
        self.check_axes(places, &values)?;
        let len = places.iter().max().map_or(0, |last| last + 1);
        let mut arguments: Vec<Option<Value>> = vec![None; len];
        for (place, value) in places.iter().zip(values) {
            arguments[*place] = Some(value);
        }
        arguments
            .into_iter()
            .enumerate()
            .map(|(place, value)| match (value, self.slots.get(place)) {
                (Some(value), _) => Ok(value),
                (None, Some(slot)) if slot.kind.ends_with('?') => Ok(Value::None),
                (None, slot) => Err(format!(
                    "input `{}` must be given too when a later one is given",
                    slot.map_or("", Slot::shown)
                )),
            })
            .collect()
    }

    /// Sizes that the operator has given one name are equal.
    fn check_axes(&self, places: &[usize], values: &[Value]) -> Result<(), String> {
        let mut known: Vec<(&str, usize, &str)> = Vec::new();
        for (place, value) in places.iter().zip(values) {
            let (Some(slot), Value::Tensor(tensor)) = (self.slots.get(*place), value) else {
                continue;
            };
            let Some(declared) = &slot.declared else { continue };
            for (axis, name) in &declared.axes {
                let Some(size) = tensor.shape().get(*axis).copied() else { continue };
                match known.iter().find(|(other, ..)| *other == name.as_str()) {
                    Some((_, other, whose)) if *other != size => {
                        return Err(format!(
                            "`{name}` is {other} in input `{whose}` and {size} in input `{}`",
                            slot.shown()
                        ));
                    }
                    Some(_) => {}
                    None => known.push((name.as_str(), size, slot.shown())),
                }
            }
        }
        Ok(())
    }

    fn shown(&self) -> String {
        let names = self.slots.iter().map(|slot| {
            if slot.required {
                slot.shown().to_owned()
            } else {
                format!("{} (optional)", slot.shown())
            }
        });
        names.collect::<Vec<_>>().join(", ")
    }
}

// === impl Slot ===

impl Slot {
    fn is(&self, name: &str) -> bool {
        let declared = self.declared.as_ref().and_then(|declared| declared.name.as_deref());
        declared == Some(name) || (!self.name.is_empty() && self.name == name)
    }

    fn metadata(&self) -> TensorMetadata {
        let name = self.shown();
        match (&self.declared, self.kind.trim_end_matches('?')) {
            (Some(declared), _) => {
                TensorMetadata::tensor(name, declared.dtype, declared.shape.as_deref())
            }
            (None, "str" | "str[]") => TensorMetadata::bytes(name),
            (None, "int" | "int[]") => TensorMetadata::tensor(name, DType::Int64, None),
            (None, "float" | "float[]") => TensorMetadata::tensor(name, DType::Float64, None),
            (None, "bool" | "bool[]") => TensorMetadata::tensor(name, DType::Bool, None),
            (None, _) => TensorMetadata::unknown(name),
        }
    }

    /// The name that clients use.
    fn shown(&self) -> &str {
        let declared = self.declared.as_ref().and_then(|declared| declared.name.as_deref());
        declared.unwrap_or(if self.name.is_empty() { "(unnamed)" } else { &self.name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Argument;

    fn signature(arguments: &[(&str, &str, bool)]) -> Signature {
        let argument = |(name, kind, required): &(&str, &str, bool)| Argument {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            required: *required,
        };
        Signature { arguments: arguments.iter().map(argument).collect() }
    }

    fn multi() -> Arguments {
        let signature = signature(&[
            ("ids", "Tensor", true),
            ("mask", "Tensor", true),
            ("extra", "Tensor?", false),
            ("count", "int", false),
            ("last", "Tensor?", false),
        ]);
        Arguments::new(&signature, vec![]).unwrap()
    }

    fn named(name: &str) -> Declared {
        Declared { name: Some(name.to_owned()), dtype: DType::Int64, shape: None, axes: vec![] }
    }

    #[test]
    fn inputs_are_matched_by_name_or_else_by_position() {
        let arguments = multi();
        assert_eq!(arguments.place(&[Some("mask"), Some("ids")]), Ok(vec![1, 0]));
        assert_eq!(arguments.place(&[Some("input0"), Some("input1")]), Ok(vec![0, 1]));
        assert_eq!(arguments.place(&[None, Some("mask")]), Ok(vec![0, 1]));
        assert_eq!(arguments.place(&[Some("input"), Some("input")]), Ok(vec![0, 1]));
        let error = arguments.place(&[Some("mask"), Some("input1")]).unwrap_err();
        assert!(error.starts_with("input `mask` is an argument's name and `input1` is none"));
        let twice = arguments.place(&[Some("ids"), Some("ids")]);
        assert_eq!(twice, Err("input `ids` is given twice".to_owned()));
    }

    #[test]
    fn too_many_inputs_are_named() {
        let error = multi().place(&[None; 6]).unwrap_err();
        assert!(
            error.starts_with("6 inputs for a model that takes 5 (ids, mask, extra (optional)")
        );
        let open = Arguments::new(&Signature::default(), vec![]).unwrap();
        assert_eq!(open.place(&[None; 7]).unwrap().len(), 7);
        assert!(open.place(&[None; 257]).is_err());
    }

    #[test]
    fn missing_arguments_are_named_and_gaps_are_none() {
        let arguments = multi();
        let missing = arguments.arrange(&[0], vec![Value::Int(1)]).unwrap_err();
        assert!(missing.starts_with("missing mask; the model takes ids, mask, extra"), "{missing}");
        let ints = |n: i64| (0..n).map(Value::Int).collect::<Vec<_>>();
        assert_eq!(arguments.arrange(&[1, 0], ints(2)), Ok(vec![Value::Int(1), Value::Int(0)]));
        let gap = arguments.arrange(&[0, 1, 3], ints(3)).unwrap();
        assert_eq!(gap, [Value::Int(0), Value::Int(1), Value::None, Value::Int(2)]);
        let error = arguments.arrange(&[0, 1, 4], ints(3)).unwrap_err();
        assert_eq!(error, "input `count` must be given too when a later one is given");
    }

    #[test]
    fn sizes_of_one_name_are_equal_in_a_request() {
        let input = |name: &str| {
            let written = serde_json::json!({
                "name": name, "datatype": "INT64", "shape": ["batch", "length"],
            });
            Declared::read_for(&written, "inputs", "[0]").unwrap()
        };
        let kinds = signature(&[("a", "Tensor", true), ("b", "Tensor", true)]);
        let arguments = Arguments::new(&kinds, vec![input("ids"), input("mask")]).unwrap();
        let tensor = |rows: usize, length: usize| {
            let zeros = crate::engine::Elements::zeros(DType::Int64, rows * length);
            Value::Tensor(crate::engine::HostTensor::new(vec![rows, length], zeros).unwrap())
        };
        assert!(arguments.arrange(&[0, 1], vec![tensor(2, 3), tensor(2, 3)]).is_ok());
        let error = arguments.arrange(&[0, 1], vec![tensor(2, 3), tensor(2, 4)]).unwrap_err();
        assert_eq!(error, "`length` is 3 in input `ids` and 4 in input `mask`");
    }

    #[test]
    fn declared_names_are_names_too() {
        let traced = signature(&[("argument_1", "Tensor", true), ("argument_2", "Tensor", true)]);
        let arguments = Arguments::new(&traced, vec![named("ids"), named("mask")]).unwrap();
        assert_eq!(arguments.place(&[Some("mask"), Some("ids")]), Ok(vec![1, 0]));
        assert_eq!(arguments.place(&[Some("argument_2"), Some("ids")]), Ok(vec![1, 0]));
        assert_eq!(arguments.missing_after_first(), ["mask"]);
        let shape = Some(vec![None, Some(4)]);
        let declared =
            Declared { name: Some("x".into()), dtype: DType::Float32, shape, axes: vec![] };
        let kinds =
            signature(&[("a", "Tensor", true), ("b", "str[]", true), ("c", "Tensor", true)]);
        let metadata = Arguments::new(&kinds, vec![declared]).unwrap().metadata();
        let of = |at: usize| (&*metadata[at].name, metadata[at].datatype, &*metadata[at].shape);
        assert_eq!(of(0), ("x", "FP32", &[-1, 4][..]));
        assert_eq!((of(1), of(2)), (("b", "BYTES", &[-1][..]), ("c", "ANY", &[-1][..])));
        assert!(arguments.only_declared().is_none());
        let unknown = Arguments::new(&Signature::default(), vec![named("ids")]).unwrap();
        assert!(unknown.arrange(&[], vec![]).is_err());
        assert_eq!(unknown.only_declared(), Some(&named("ids")));
        let many =
            Arguments::new(&signature(&[("x", "Tensor", true)]), vec![named("a"), named("b")]);
        assert!(many.unwrap_err().to_string().starts_with("model-config.yaml: inputs: 2 inputs"));
    }
}
