//! Values that go into and come out of a model: tensors, and the plain values TorchScript allows.

use super::tensor::HostTensor;

/// One argument or result of a model's `forward`, as TorchScript's `IValue` knows them.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A tensor.
    Tensor(HostTensor),
    /// Python's `int`.
    Int(i64),
    /// Python's `float`.
    Double(f64),
    /// Python's `bool`.
    Bool(bool),
    /// Python's `str`.
    Str(String),
    /// Python's `None`.
    None,
    /// A list; its elements are of one kind.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A dict in insertion order; integer keys are written in decimal.
    Dict(Vec<(String, Value)>),
}

/// One declared argument of a model's `forward`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The name in the Python source (`x`, `input_ids`).
    pub name: String,
    /// TorchScript's type, for example `Tensor`, `Tensor?`, `str[]`, `int`.
    pub kind: String,
    /// False when the argument has a default.
    pub required: bool,
}

/// The arguments of a model's `forward`, without `self`, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// The arguments in order.
    pub arguments: Vec<Argument>,
}

impl From<HostTensor> for Value {
    fn from(tensor: HostTensor) -> Self {
        Value::Tensor(tensor)
    }
}
