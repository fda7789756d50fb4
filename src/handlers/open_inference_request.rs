//! A request of the Open Inference Protocol (KServe v2): its inputs, and what it wants of the answer.
//!
//! Called by the handlers while they read an object, with each of its members: an object without
//! `inputs` is none of these requests, and its other members mean what the handler says. Protocol:
//! <https://github.com/kserve/open-inference-protocol>; binary tensors: Triton's
//! `extension_binary_data.md`.

use bytes::Bytes;

use super::Parameter;
use super::input::Protocol;
use super::json::{JsonError, Scanner};
use super::open_inference::{Input, deal_out, read_inputs};

/// A request.
pub(super) struct Request<'a> {
    /// At least none; their values are not read yet.
    pub(super) inputs: Vec<Input<'a>>,
    /// What the answer must look like.
    pub(super) wanted: Wanted,
}

/// What an Open Inference request wants of its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The request's `id`; the answer repeats it.
    pub id: Option<String>,
    /// The outputs that it asked for, in its order; empty for all.
    pub outputs: Vec<Requested>,
    /// `binary_data_output`: outputs come as bytes where nothing else is said of them.
    pub binary: bool,
    /// Under the envelope `kservev2`, TorchServe's form: an output is named after the input that it
    /// answers. The inputs' names and rows.
    pub named_after: Option<Vec<(String, usize)>>,
}

/// An output that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// Its name.
    pub name: String,
    /// `binary_data`: as bytes, or in the JSON.
    pub binary: Option<bool>,
}

/// The members of an object that may be a request.
#[derive(Default)]
pub(super) struct Members<'a> {
    inputs: Option<Vec<Input<'a>>>,
    id: Option<Scanner<'a>>,
    outputs: Option<Scanner<'a>>,
    parameters: Option<Scanner<'a>>,
}

/// Most outputs that a request may name.
const MAX_OUTPUTS: usize = 256;

/// The JSON of a payload, and the bytes behind it, which are its raw tensors.
///
/// # Errors
/// `Inference-Header-Content-Length` is more than the payload.
pub(super) fn split(
    protocol: Protocol,
    payload: &Parameter,
) -> Result<(&[u8], Option<Bytes>), String> {
    let value = &payload.value;
    match protocol {
        Protocol::OpenInference { json_length: Some(length) } if length > value.len() => {
            Err(format!(
                "Inference-Header-Content-Length is {length}, and the body has {} bytes",
                value.len()
            ))
        }
        Protocol::OpenInference { json_length: Some(length) } => {
            Ok((&value[..length], Some(value.slice(length..))))
        }
        _ => Ok((value, None)),
    }
}

// === impl Members ===

impl<'a> Members<'a> {
    /// Takes the value of `key`, at which `scanner` stands; false when it is no member of a request.
    ///
    /// # Errors
    /// The value is not JSON, or the inputs are not what they should be.
    pub(super) fn take(&mut self, key: &str, scanner: &mut Scanner<'a>) -> Result<bool, JsonError> {
        scanner.peek();
        let here = scanner.clone();
        match key {
            "inputs" => {
                self.inputs = Some(read_inputs(scanner)?);
                return Ok(true);
            }
            "id" => self.id = Some(here),
            "outputs" => self.outputs = Some(here),
            "parameters" => self.parameters = Some(here),
            _ => return Ok(false),
        }
        scanner.skip()?;
        Ok(true)
    }

    /// The request, or none when there were no `inputs`. `raw` is what follows the JSON.
    ///
    /// # Errors
    /// A member is not what it should be, with a JSON pointer to it.
    pub(super) fn finish(self, raw: Option<Bytes>) -> Result<Option<Request<'a>>, JsonError> {
        let Some(mut inputs) = self.inputs else { return Ok(None) };
        let mut wanted = Wanted::default();
        if let Some(mut scanner) = self.id {
            let id = scanner.string().map_err(|error| error.within("id"))?;
            wanted.id = Some(id.into_owned());
        }
        if let Some(mut scanner) = self.parameters {
            let binary = read_flag(&mut scanner, "binary_data_output");
            wanted.binary = binary.map_err(|error| error.within("parameters"))?.unwrap_or(false);
        }
        if let Some(mut scanner) = self.outputs {
            let outputs = read_outputs(&mut scanner);
            wanted.outputs = outputs.map_err(|error| error.within("outputs"))?;
        }
        deal_out(&mut inputs, raw.unwrap_or_default())?;
        Ok(Some(Request { inputs, wanted }))
    }
}

fn read_outputs(scanner: &mut Scanner<'_>) -> Result<Vec<Requested>, JsonError> {
    let mut outputs = Vec::new();
    let mut more = scanner.open(b'[', b']')?;
    while more {
        if outputs.len() == MAX_OUTPUTS {
            return Err(scanner.error(format!("at most {MAX_OUTPUTS} outputs are read")));
        }
        let output = read_output(scanner).map_err(|error| error.within(outputs.len()))?;
        if outputs.iter().any(|other: &Requested| other.name == output.name) {
            let reason = format!("output `{}` is asked for twice", output.name);
            return Err(scanner.error(reason).within(outputs.len()));
        }
        outputs.push(output);
        more = scanner.more(b']')?;
    }
    Ok(outputs)
}

fn read_output(scanner: &mut Scanner<'_>) -> Result<Requested, JsonError> {
    let start = scanner.clone();
    let (mut name, mut binary) = (None, None);
    let mut more = scanner.open(b'{', b'}')?;
    while more {
        let key = scanner.name()?;
        let read = match &*key {
            "name" => scanner.string().map(|text| name = Some(text.into_owned())),
            "parameters" => read_flag(scanner, "binary_data").map(|flag| binary = flag),
            _ => scanner.skip(),
        };
        read.map_err(|error| error.within(&key))?;
        more = scanner.more(b'}')?;
    }
    let name = name.ok_or_else(|| start.error("an output needs `name`"))?;
    Ok(Requested { name, binary })
}

/// Reads an object of parameters for one of them. Those that would change the answer and are not
/// known here are refused.
fn read_flag(scanner: &mut Scanner<'_>, flag: &str) -> Result<Option<bool>, JsonError> {
    const UNSUPPORTED: [&str; 2] = ["classification", "shared_memory_region"];
    let mut found = None;
    let mut more = scanner.open(b'{', b'}')?;
    while more {
        let key = scanner.name()?;
        if *key == *flag {
            found = Some(scanner.bool().map_err(|error| error.within(&key))?);
        } else if UNSUPPORTED.contains(&&*key) {
            return Err(scanner.error("this extension is not supported").within(&key));
        } else {
            scanner.skip()?;
        }
        more = scanner.more(b'}')?;
    }
    Ok(found)
}
