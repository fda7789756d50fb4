//! What must hold whatever bodies, pictures and keys clients send.
//!
//! Called by the fuzz targets and by `tests/it/fuzz_corpus.rs`, as `invariants.rs`.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use torchfront::auth::{PublishedKeys, Scope, TokenAuthorization};
use torchfront::engine::{Argument, DType, HostTensor, Signature, Value};
use torchfront::handlers::{
    Catalog, Envelope, Handler, HandlerError, HandlerSettings, NoFiles, Protocol, RequestInput,
    Sample,
};
use torchfront::http::take_apart;

/// A tensor may be this many times larger than the bytes it was read from: a digit and a comma become
/// eight bytes.
const GROWTH: usize = 8;
/// What a tensor may have in addition: a picture has the size that the model wants.
const PICTURE: usize = 3 * 224 * 224 * 4;

/// A body of `/predictions`, read as JSON by a model that takes one tensor and by one that takes more.
pub fn json_tensors(data: &[u8]) {
    for handler in base_handlers() {
        for protocol in [Protocol::TorchServe, Protocol::KServeV1] {
            let input = body(Some("application/json"), data);
            preprocess(&**handler, RequestInput { protocol, ..input }, data.len());
        }
    }
}

/// A body of `/v2/models/{model}/infer`: two bytes of `Inference-Header-Content-Length` (`FF FF`: no
/// such header), then the body.
pub fn open_inference(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return };
    let length = u16::from_be_bytes(*length);
    let json_length = (length != u16::MAX).then_some(usize::from(length));
    for handler in base_handlers() {
        let protocol = Protocol::OpenInference { json_length };
        let media = json_length.map_or("application/json", |_| "application/octet-stream");
        preprocess(&**handler, RequestInput { protocol, ..body(Some(media), rest) }, data.len());
    }
}

/// A first line that is a `Content-Type`, then a body of that type.
pub fn multipart(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let Ok(content_type) = std::str::from_utf8(&data[..end]) else { return };
    let rest = data.get(end + 1..).unwrap_or_default();
    let taking = pin!(take_apart(Some(content_type), rest.to_vec().into()));
    // Everything is there already: it never waits.
    let Poll::Ready(taken) = taking.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("waits for more than there is");
    };
    match taken {
        Ok(input) => {
            let size: usize = input.parameters.iter().map(|parameter| parameter.value.len()).sum();
            assert!(size <= 3 * rest.len(), "{size} bytes of {}", rest.len());
            assert!(input.parameters.len() <= 1024);
            preprocess(&**image_handler(), input, data.len());
        }
        Err(error) => assert_eq!(error.status, 400),
    }
}

/// A picture, in each of the ways in which it may come.
pub fn image(data: &[u8]) {
    for media in [None, Some("image/png"), Some("application/octet-stream"), Some("text/plain")] {
        preprocess(&**image_handler(), body(media, data), data.len());
    }
}

/// The value of `Authorization`; each `\x01` in it stands for the inference key, `\x02` for the
/// management key.
pub fn authorization(data: &[u8]) {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    let keys = KEYS.get_or_init(Keys::new);
    let mut value = Vec::new();
    for byte in data {
        match byte {
            1 => value.extend_from_slice(&keys.inference),
            2 => value.extend_from_slice(&keys.management),
            other => value.push(*other),
        }
    }
    for (scope, key) in [(Scope::Inference, &keys.inference), (Scope::Management, &keys.management)]
    {
        let lines = [value.as_slice()].into_iter();
        let admitted = keys.authorization.authorize(scope, lines, keys.made_at).is_ok();
        assert_eq!(admitted, is_bearer(&value, key), "{:?}", value.escape_ascii().to_string());
        let twice = [value.as_slice(), value.as_slice()].into_iter();
        assert!(keys.authorization.authorize(scope, twice, keys.made_at).is_err());
    }
}

/// TorchServe's `^Bearer\s+(\S+)$` with this key.
fn is_bearer(value: &[u8], key: &[u8]) -> bool {
    let Some(spaces) = value.strip_prefix(b"Bearer").and_then(|rest| rest.strip_suffix(key)) else {
        return false;
    };
    !spaces.is_empty() && spaces.iter().all(|byte| b" \t\n\x0b\x0c\r".contains(byte))
}

/// Keys as their holders learn them.
struct Keys {
    authorization: Arc<TokenAuthorization>,
    inference: Vec<u8>,
    management: Vec<u8>,
    made_at: SystemTime,
    _published: PublishedKeys,
}

// === impl Keys ===

impl Keys {
    fn new() -> Keys {
        let made_at = SystemTime::now();
        let authorization = TokenAuthorization::new(Duration::from_secs(3600), made_at).unwrap();
        let file = std::env::temp_dir().join(format!("fuzz-keys-{}", std::process::id()));
        let published = authorization.publish(&file).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let key = |name: &str| {
            let (_, rest) = text.split_once(&format!("\"{name}\"")).unwrap();
            let (_, rest) = rest.split_once("\"key\": \"").unwrap();
            rest.split('"').next().unwrap().as_bytes().to_vec()
        };
        let (inference, management) = (key("inference"), key("management"));
        Keys { authorization, inference, management, made_at, _published: published }
    }
}

fn body(media: Option<&str>, data: &[u8]) -> RequestInput {
    RequestInput::body(media.map(str::to_owned), data.to_vec().into())
}

/// Reads an input; what is read is as large as it says, and not much larger than what came.
fn preprocess(handler: &dyn Handler, input: RequestInput, came: usize) {
    match handler.preprocess(input) {
        Ok(sample) => {
            check(&sample, came);
            if let Some(other) = handler.reinterpret(&sample) {
                check(&other, came);
                let bucket = |sample: &Sample| sample.bucket.as_ref().map(|bucket| bucket.len());
                assert_eq!(bucket(&other), bucket(&sample));
            }
        }
        // What a client sends is never the model's fault: 400, not 503.
        Err(HandlerError::BadInput(text)) => {
            assert!(!text.is_empty() && text.len() < 4096, "{text}")
        }
        Err(HandlerError::Model(text)) => panic!("the model is blamed: {text}"),
    }
}

fn check(sample: &Sample, came: usize) {
    let mut bytes = 0;
    for argument in &sample.arguments {
        if let Value::Tensor(tensor) = argument {
            let elements: usize = tensor.shape().iter().product();
            assert_eq!(tensor.as_bytes().len(), elements * width(tensor));
            bytes += tensor.as_bytes().len();
        }
    }
    assert!(bytes <= GROWTH * came + PICTURE, "{bytes} bytes of tensors from {came}");
    if let Some(bucket) = &sample.bucket {
        let tensors = sample.arguments.iter().filter(|value| matches!(value, Value::Tensor(_)));
        assert_eq!(tensors.count(), bucket.len());
    }
}

fn width(tensor: &HostTensor) -> usize {
    match tensor.dtype() {
        DType::Bool | DType::Uint8 | DType::Int8 => 1,
        DType::Int16 | DType::Float16 | DType::Bfloat16 => 2,
        DType::Int32 | DType::Float32 => 4,
        DType::Int64 | DType::Float64 => 8,
    }
}

fn base_handlers() -> &'static [Arc<dyn Handler>; 2] {
    static HANDLERS: OnceLock<[Arc<dyn Handler>; 2]> = OnceLock::new();
    HANDLERS.get_or_init(|| {
        let one = [("x", "Tensor", true)];
        let many = [
            ("ids", "Tensor", true),
            ("texts", "str[]", true),
            ("scale", "float", false),
            ("extra", "Tensor?", false),
        ];
        [handler("base_handler", &one), handler("base_handler", &many)]
    })
}

fn image_handler() -> &'static Arc<dyn Handler> {
    static HANDLER: OnceLock<Arc<dyn Handler>> = OnceLock::new();
    HANDLER.get_or_init(|| handler("image_classifier", &[("x", "Tensor", true)]))
}

fn handler(name: &str, arguments: &[(&str, &str, bool)]) -> Arc<dyn Handler> {
    let argument = |(name, kind, required): &(&str, &str, bool)| Argument {
        name: (*name).to_owned(),
        kind: (*kind).to_owned(),
        required: *required,
    };
    let settings = HandlerSettings {
        model: "m",
        version: "1.0",
        index_to_name: None,
        model_config: &serde_json::Value::Null,
        signature: Signature { arguments: arguments.iter().map(argument).collect() },
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope: Envelope::None,
        files: &NoFiles,
    };
    Catalog::default().make(name, settings).unwrap()
}
