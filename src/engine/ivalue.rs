//! [`Value`] to and from libtorch's `IValue`.
//!
//! Called by `torch.rs` around each forward. Arguments borrow the host tensors' memory: no copy is
//! made on the way in. Results are copied once, into host tensors.

#![expect(unsafe_code, reason = "calls into C++; each block says why it is sound")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;

use tch::{Kind, Tensor};
use torch_sys::{
    CIValue, ati_bool, ati_bool_list, ati_double, ati_double_list, ati_free, ati_generic_list,
    ati_int, ati_int_list, ati_length, ati_none, ati_string, ati_string_list, ati_tag, ati_tensor,
    ati_tensor_list, ati_to_bool, ati_to_bool_list, ati_to_double, ati_to_double_list,
    ati_to_generic_dict, ati_to_generic_list, ati_to_int, ati_to_int_list, ati_to_string,
    ati_to_tensor, ati_to_tensor_list, ati_to_tuple, ati_tuple, ati_tuple_length,
    get_and_reset_last_err,
};

use super::{DType, Device, Elements, EngineError, HostTensor, Value, cuda};

/// An `IValue` that is freed when dropped.
pub(super) struct Owned(NonNull<CIValue>);

/// A result that is nested deeper than this is refused.
const MAX_DEPTH: usize = 64;

// === impl Owned ===

impl Owned {
    /// Takes a pointer that libtorch's C functions or the shim gave away.
    pub(super) fn from_raw(raw: NonNull<CIValue>) -> Owned {
        Owned(raw)
    }

    /// The pointer, still owned by `self`.
    pub(super) fn as_ptr(&self) -> *mut CIValue {
        self.0.as_ptr()
    }

    fn made(raw: *mut CIValue) -> Result<Owned, EngineError> {
        no_error()?;
        NonNull::new(raw).map(Owned).ok_or_else(|| failed("libtorch gave no value"))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the pointer is ours and is not used after this.
        unsafe { ati_free(self.0.as_ptr()) }
    }
}

fn failed(text: impl Into<String>) -> EngineError {
    EngineError::Failed(text.into())
}

/// The error that the last C function left for this thread, if any.
fn no_error() -> Result<(), EngineError> {
    // SAFETY: gives null or a string that is ours; it is copied and freed here.
    unsafe {
        let message = get_and_reset_last_err();
        if message.is_null() {
            return Ok(());
        }
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        libc::free(message.cast());
        Err(failed(text))
    }
}

/// A count as C wants it.
fn count(len: usize) -> Result<c_int, EngineError> {
    c_int::try_from(len).map_err(|_| failed("too many values"))
}

/// Makes the argument for `value`. Its host tensors must outlive the `IValue`; with `copy` it owns
/// its memory. `kind` is the declared TorchScript type, which tells empty lists apart.
pub(super) fn to_ivalue(
    value: &Value,
    kind: &str,
    device: Device,
    copy: bool,
) -> Result<Owned, EngineError> {
    let raw = match value {
        Value::None => {
            // SAFETY: takes nothing.
            unsafe { ati_none() }
        }
        Value::Int(value) => {
            // SAFETY: takes a plain value.
            unsafe { ati_int(*value) }
        }
        Value::Double(value) => {
            // SAFETY: takes a plain value.
            unsafe { ati_double(*value) }
        }
        Value::Bool(value) => {
            // SAFETY: takes a plain value.
            unsafe { ati_bool(c_int::from(*value)) }
        }
        Value::Str(text) => {
            let text = c_string(text)?;
            // SAFETY: NUL-terminated, copied by the callee.
            unsafe { ati_string(text.as_ptr()) }
        }
        Value::Tensor(tensor) => {
            let tensor = to_tensor(tensor, device, copy)?;
            // SAFETY: the callee takes a reference of its own to the live tensor.
            unsafe { ati_tensor(tensor.as_ptr().cast_mut()) }
        }
        Value::Tuple(values) => {
            let parts = generic(values, device, copy)?;
            let parts: Vec<_> = parts.iter().map(Owned::as_ptr).collect();
            // SAFETY: the parts are live and copied by the callee.
            unsafe { ati_tuple(parts.as_ptr(), count(parts.len())?) }
        }
        Value::List(values) => return list(values, kind, device, copy),
        Value::Dict(_) => return Err(failed("a dict can't be an argument")),
    };
    Owned::made(raw)
}

fn c_string(text: &str) -> Result<CString, EngineError> {
    CString::new(text).map_err(|_| failed("a text with a NUL character can't be an argument"))
}

fn generic(values: &[Value], device: Device, copy: bool) -> Result<Vec<Owned>, EngineError> {
    values.iter().map(|value| to_ivalue(value, "", device, copy)).collect()
}

/// The elements of a list as one plain type, or none when one of them is another.
fn all<'a, T>(values: &'a [Value], pick: impl Fn(&'a Value) -> Option<T>) -> Option<Vec<T>> {
    values.iter().map(pick).collect()
}

/// A typed list: TorchScript's `List[str]` is not a list of generic values.
fn list(values: &[Value], kind: &str, device: Device, copy: bool) -> Result<Owned, EngineError> {
    let len = count(values.len())?;
    let wanted = |name: &str| !values.is_empty() || kind.starts_with(name);
    let raw = if let Some(texts) =
        all(values, |v| if let Value::Str(s) = v { Some(s) } else { None })
        && wanted("str[]")
    {
        let texts: Vec<CString> =
            texts.into_iter().map(|s| c_string(s)).collect::<Result<_, _>>()?;
        let pointers: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
        // SAFETY: the strings are live and copied by the callee.
        unsafe { ati_string_list(pointers.as_ptr(), len) }
    } else if let Some(tensors) =
        all(values, |v| if let Value::Tensor(t) = v { Some(t) } else { None })
        && wanted("Tensor[]")
    {
        let tensors: Vec<Tensor> =
            tensors.into_iter().map(|t| to_tensor(t, device, copy)).collect::<Result<_, _>>()?;
        let pointers: Vec<_> = tensors.iter().map(|tensor| tensor.as_ptr().cast_mut()).collect();
        // SAFETY: the callee takes references of its own to the live tensors.
        unsafe { ati_tensor_list(pointers.as_ptr(), len) }
    } else if let Some(ints) = all(values, |v| if let Value::Int(i) = v { Some(*i) } else { None })
        && wanted("int[]")
    {
        // SAFETY: copied by the callee.
        unsafe { ati_int_list(ints.as_ptr(), len) }
    } else if let Some(floats) =
        all(values, |v| if let Value::Double(f) = v { Some(*f) } else { None })
        && wanted("float[]")
    {
        // SAFETY: copied by the callee.
        unsafe { ati_double_list(floats.as_ptr(), len) }
    } else if let Some(bools) =
        all(values, |v| if let Value::Bool(b) = v { Some(c_char::from(*b)) } else { None })
        && wanted("bool[]")
    {
        // SAFETY: copied by the callee.
        unsafe { ati_bool_list(bools.as_ptr(), len) }
    } else {
        let parts = generic(values, device, copy)?;
        let parts: Vec<_> = parts.iter().map(Owned::as_ptr).collect();
        // SAFETY: the parts are live and copied by the callee.
        unsafe { ati_generic_list(parts.as_ptr(), len) }
    };
    Owned::made(raw)
}

fn kind_of(dtype: DType) -> Kind {
    match dtype {
        DType::Bool => Kind::Bool,
        DType::Uint8 => Kind::Uint8,
        DType::Int8 => Kind::Int8,
        DType::Int16 => Kind::Int16,
        DType::Int32 => Kind::Int,
        DType::Int64 => Kind::Int64,
        DType::Float16 => Kind::Half,
        DType::Bfloat16 => Kind::BFloat16,
        DType::Float32 => Kind::Float,
        DType::Float64 => Kind::Double,
    }
}

/// A tensor over the host tensor's memory, or with memory of its own.
fn to_tensor(host: &HostTensor, device: Device, copy: bool) -> Result<Tensor, EngineError> {
    let shape: Vec<i64> = host.shape().iter().map(|size| *size as i64).collect();
    let mut stride = 1;
    let mut strides: Vec<i64> = shape
        .iter()
        .rev()
        .map(|size| {
            let this = stride;
            stride *= size.max(&1);
            this
        })
        .collect();
    strides.reverse();
    let kind = kind_of(host.dtype());
    let bytes = host.as_bytes();
    // An empty Vec's pointer is dangling; libtorch never reads it for zero elements.
    // SAFETY: the shape holds exactly the elements (an invariant of HostTensor), which outlive the
    // tensor: `torch.rs` keeps the arguments until the result has been read.
    let tensor =
        unsafe { Tensor::f_from_blob(bytes.as_ptr(), &shape, &strides, kind, tch::Device::Cpu) };
    let tensor = tensor.map_err(tch_error)?;
    match device {
        Device::Cpu if copy => tensor.f_detach_copy().map_err(tch_error),
        Device::Cpu => Ok(tensor),
        Device::Cuda(index) => cuda::to_device(&tensor, bytes.len(), index).map_err(tch_error),
    }
}

fn tch_error(error: tch::TchError) -> EngineError {
    let text = error.to_string();
    if text.contains("out of memory") || text.contains("can't allocate memory") {
        return EngineError::OutOfMemory(text);
    }
    failed(text)
}

/// The host's copy of a result. With `widen`, floats narrower than `float32` become `float32`: a
/// caller does not see the precision that the model was cast to.
pub(super) fn from_ivalue(value: &Owned, widen: bool) -> Result<Value, EngineError> {
    read(value, MAX_DEPTH, widen)
}

fn read(value: &Owned, depth: usize, widen: bool) -> Result<Value, EngineError> {
    if depth == 0 {
        return Err(failed(format!("the model's result is nested deeper than {MAX_DEPTH}")));
    }
    let raw = value.as_ptr();
    // SAFETY (this and the calls below): `raw` is live, and each getter is called for its own tag.
    let tag = unsafe { ati_tag(raw) };
    no_error()?;
    let value = match tag {
        0 => Value::None,
        1 => {
            // SAFETY: the tag says tensor; the new reference is owned by the wrapper.
            let tensor = unsafe { Tensor::from_ptr(ati_to_tensor(raw)) };
            Value::Tensor(from_tensor(&tensor, widen)?)
        }
        2 => Value::Double(unsafe { ati_to_double(raw) }),
        3 => Value::Int(unsafe { ati_to_int(raw) }),
        4 => Value::Bool(unsafe { ati_to_bool(raw) } != 0),
        5 => {
            let len = unsafe { ati_tuple_length(raw) };
            Value::Tuple(parts(len, depth, widen, |out, len| unsafe {
                ati_to_tuple(raw, out, len)
            })?)
        }
        6 => {
            let mut values = vec![0_i64; length(raw)?];
            unsafe { ati_to_int_list(raw, values.as_mut_ptr(), count(values.len())?) };
            Value::List(values.into_iter().map(Value::Int).collect())
        }
        7 => {
            let mut values = vec![0_f64; length(raw)?];
            unsafe { ati_to_double_list(raw, values.as_mut_ptr(), count(values.len())?) };
            Value::List(values.into_iter().map(Value::Double).collect())
        }
        8 => {
            let mut values: Vec<c_char> = vec![0; length(raw)?];
            unsafe { ati_to_bool_list(raw, values.as_mut_ptr(), count(values.len())?) };
            Value::List(values.into_iter().map(|value| Value::Bool(value != 0)).collect())
        }
        9 => Value::Str(text(raw)?),
        10 => {
            let mut pointers = vec![std::ptr::null_mut(); length(raw)?];
            unsafe { ati_to_tensor_list(raw, pointers.as_mut_ptr(), count(pointers.len())?) };
            no_error()?;
            // SAFETY: each pointer is a new reference that the wrapper owns.
            let tensors: Vec<Tensor> =
                pointers.into_iter().map(|pointer| unsafe { Tensor::from_ptr(pointer) }).collect();
            let values = tensors.iter().map(|tensor| from_tensor(tensor, widen).map(Value::Tensor));
            Value::List(values.collect::<Result<_, _>>()?)
        }
        12 => {
            let len = unsafe { ati_length(raw) };
            Value::List(parts(len, depth, widen, |out, len| unsafe {
                ati_to_generic_list(raw, out, len)
            })?)
        }
        13 => {
            let len = unsafe { ati_length(raw) };
            let flat = parts(len.saturating_mul(2), depth, widen, |out, _| unsafe {
                ati_to_generic_dict(raw, out, len)
            })?;
            Value::Dict(pairs(flat)?)
        }
        _ => return Err(failed("the model's result holds an object that has no JSON form")),
    };
    no_error()?;
    Ok(value)
}

fn length(raw: *mut CIValue) -> Result<usize, EngineError> {
    // SAFETY: called for list tags only.
    let len = unsafe { ati_length(raw) };
    no_error()?;
    usize::try_from(len).map_err(|_| failed("libtorch gave no length"))
}

fn text(raw: *mut CIValue) -> Result<String, EngineError> {
    // SAFETY: the tag says string; the copy is ours and freed here.
    unsafe {
        let text = ati_to_string(raw);
        no_error()?;
        if text.is_null() {
            return Err(failed("libtorch gave no text"));
        }
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        libc::free(text.cast());
        Ok(owned)
    }
}

/// The parts of a container; each is freed, also when one of them cannot be read.
fn parts(
    len: c_int,
    depth: usize,
    widen: bool,
    fill: impl FnOnce(*mut *mut CIValue, c_int),
) -> Result<Vec<Value>, EngineError> {
    no_error()?;
    let wanted = usize::try_from(len).map_err(|_| failed("libtorch gave no length"))?;
    let mut pointers = vec![std::ptr::null_mut(); wanted];
    fill(pointers.as_mut_ptr(), len);
    let filled = no_error();
    let owned: Vec<Owned> =
        pointers.into_iter().filter_map(NonNull::new).map(Owned::from_raw).collect();
    filled?;
    owned.iter().map(|part| read(part, depth - 1, widen)).collect()
}

/// Keys and values in turn, to pairs with text keys.
fn pairs(flat: Vec<Value>) -> Result<Vec<(String, Value)>, EngineError> {
    let mut flat = flat.into_iter();
    let mut pairs = Vec::with_capacity(flat.len() / 2);
    while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
        let key = match key {
            Value::Str(key) => key,
            Value::Int(key) => key.to_string(),
            _ => {
                return Err(failed("a key of the model's dict is neither text nor a whole number"));
            }
        };
        pairs.push((key, value));
    }
    Ok(pairs)
}

fn from_tensor(tensor: &Tensor, widen: bool) -> Result<HostTensor, EngineError> {
    if widen && matches!(tensor.f_kind().map_err(tch_error)?, Kind::BFloat16 | Kind::Half) {
        return from_tensor(&tensor.f_to_kind(Kind::Float).map_err(tch_error)?, false);
    }
    let tensor = match tensor.device() {
        tch::Device::Cpu => tensor.f_contiguous(),
        _ => tensor.f_to_device(tch::Device::Cpu).and_then(|tensor| tensor.f_contiguous()),
    }
    .map_err(tch_error)?;
    let shape: Vec<usize> = tensor.size().into_iter().map(|size| size as usize).collect();
    let len = super::element_count(&shape).ok_or_else(|| failed("the result is too large"))?;
    let kind = tensor.f_kind().map_err(tch_error)?;
    let dtype = DType::ALL.into_iter().find(|dtype| kind_of(*dtype) == kind);
    let dtype = dtype.ok_or_else(|| {
        failed(format!("a result of element type {kind:?} can't be written; cast it in the model"))
    })?;
    let pointer = tensor.data_ptr().cast::<u8>();
    let bytes: &[u8] = if len == 0 || pointer.is_null() {
        &[]
    } else {
        // SAFETY: a contiguous tensor holds exactly `len` elements of this size at its pointer, and
        // `tensor` lives until the copy below is done.
        unsafe { std::slice::from_raw_parts(pointer, len * dtype.size()) }
    };
    HostTensor::new(shape, copied(dtype, bytes)).map_err(|error| failed(error.to_string()))
}

/// The elements in `bytes`, which are a whole number of elements of `dtype`.
fn copied(dtype: DType, bytes: &[u8]) -> Elements {
    let mut elements = Elements::zeros(dtype, bytes.len() / dtype.size());
    elements.as_bytes_mut().copy_from_slice(bytes);
    elements
}
