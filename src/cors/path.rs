//! Which model and which API a request target names. PURE.
//!
//! The router and the choice of a CORS policy read targets with these functions and no others, so
//! that no spelling of a path can be served by one model under the policy of another (B34). As in
//! TorchServe the path is percent-decoded first and split on `/` afterwards: `%2F` separates
//! segments, trailing slashes do not count, empty segments in between do.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::listener::Listener;

/// First segments that are routes of their own and never a model of `/{model}/predict`.
const RESERVED: [&str; 12] = [
    "api-description",
    "cors",
    "explanations",
    "invocations",
    "metrics",
    "models",
    "ping",
    "predictions",
    "token",
    "v1",
    "v2",
    "wfpredict",
];

/// The path percent-decoded; bytes that are no UTF-8 become U+FFFD, as Netty decodes them.
pub fn decode_path(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8_lossy()
}

/// The segments of a decoded path, without the empty ones at the end.
pub fn segments(decoded: &str) -> impl DoubleEndedIterator<Item = &str> {
    let decoded = decoded.strip_prefix('/').unwrap_or(decoded).trim_end_matches('/');
    decoded.split('/').filter(move |_| !decoded.is_empty())
}

/// The model that an inference path names, `None` where it names none.
pub fn model_of_path(path: &str) -> Option<Cow<'_, str>> {
    match decode_path(path) {
        Cow::Borrowed(decoded) => model_of_decoded(decoded).map(Cow::Borrowed),
        Cow::Owned(decoded) => model_of_decoded(&decoded).map(|model| Cow::Owned(model.to_owned())),
    }
}

/// [`model_of_path`], and for `/invocations` the first `model_name` of the query. A model that
/// `/invocations` takes from a body is told by the handler, see `ServedModel`.
pub fn model_of_target<'a>(path: &'a str, query: Option<&'a str>) -> Option<Cow<'a, str>> {
    if let Some(model) = model_of_path(path) {
        return Some(model);
    }
    let query = query?;
    if segments(&decode_path(path)).next() != Some("invocations") {
        return None;
    }
    form_urlencoded::parse(query.as_bytes())
        .find_map(|(name, value)| (name == "model_name").then_some(value))
}

/// The API that serves a path where all of them share one socket (B33).
pub fn api_of_path(path: &str) -> Listener {
    let decoded = decode_path(path);
    let mut segments = segments(&decoded);
    match [segments.next(), segments.next(), segments.next(), segments.next()] {
        [Some("models"), Some(_), Some("invoke"), None] => Listener::Inference,
        [Some("v1"), Some("models"), Some(call), _] if call.contains(':') => Listener::Inference,
        [Some("v1"), Some("models"), ..]
        | [Some("models" | "workflows" | "token" | "cors"), ..] => Listener::Management,
        [Some("console"), ..] if model_of_decoded(&decoded).is_none() => Listener::Management,
        [Some("metrics"), None, ..] => Listener::Metrics,
        _ => Listener::Inference,
    }
}

/// True for what shows and changes CORS itself: `/cors` and below.
pub fn is_below_cors(path: &str) -> bool {
    segments(&decode_path(path)).next() == Some("cors")
}

fn model_of_decoded(decoded: &str) -> Option<&str> {
    let mut segments = segments(decoded);
    let model = match [segments.next(), segments.next(), segments.next(), segments.next()] {
        [Some("predictions" | "explanations"), Some(model), ..]
        | [Some("models"), Some(model), Some("invoke"), None]
        | [Some("v2"), Some("models"), Some(model), _] => model,
        [Some("v1"), Some("models"), Some(call), _] => call.split_once(':')?.0,
        [Some(model), Some("predict"), None, None]
        | [Some(model), Some(_), Some("predict"), None] => not_reserved(model)?,
        _ => return None,
    };
    (!model.is_empty()).then_some(model)
}

fn not_reserved(model: &str) -> Option<&str> {
    (!is_reserved(model)).then_some(model)
}

/// True for a first segment that is a route of its own and never a model of `/{model}/predict`.
pub fn is_reserved(first: &str) -> bool {
    // TorchServe takes this one in any case.
    RESERVED.contains(&first) || first.eq_ignore_ascii_case("wfpredict")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(path: &str) -> Option<String> {
        model_of_path(path).map(Cow::into_owned)
    }

    #[test]
    fn b34_every_inference_route_names_its_model() {
        for path in [
            "/predictions/mlp",
            "/predictions/mlp/",
            "/predictions/mlp/1.0",
            "/predictions/mlp/1.0/extra/path",
            "/explanations/mlp/1.0",
            "/models/mlp/invoke",
            "/mlp/predict",
            "/mlp/1.0/predict",
            "/v1/models/mlp:predict",
            "/v1/models/mlp:explain",
            "/v2/models/mlp/infer",
            "/v2/models/mlp/versions/1/infer",
        ] {
            assert_eq!(model(path).as_deref(), Some("mlp"), "{path}");
        }
        for path in [
            "",
            "/",
            "//",
            "/ping",
            "/predictions",
            "/predictions/",
            "/predictions//mlp",
            "//predictions/mlp",
            "/Predictions/mlp",
            "/models/mlp",
            "/models/mlp/1.0",
            "/models/mlp/invoke/x",
            "/v1/models/mlp",
            "/v1/models/:predict",
            "/v2/models",
            "/mlp",
            "/mlp/1.0/predict/x",
            "/ping/predict",
            "/models/predict",
        ] {
            assert_eq!(model(path), None, "{path}");
        }
    }

    #[test]
    fn b34_the_name_is_decoded_before_it_is_split() {
        assert_eq!(model("/predictions/%6dlp").as_deref(), Some("mlp"));
        assert_eq!(model("/%70redictions/mlp").as_deref(), Some("mlp"));
        assert_eq!(model("/predictions%2Fmlp").as_deref(), Some("mlp"));
        assert_eq!(model("/predictions/mlp%2F1.0").as_deref(), Some("mlp"));
        assert_eq!(model("/v1/models/mlp%3Apredict").as_deref(), Some("mlp"));
        assert_eq!(model("/predictions/%256dlp").as_deref(), Some("%6dlp"));
        assert_eq!(model("/predictions/mlp;v=1").as_deref(), Some("mlp;v=1"));
        assert_eq!(model("/predictions/mlp+x").as_deref(), Some("mlp+x"));
        assert_eq!(model("/predictions/%ff").as_deref(), Some("\u{fffd}"));
        assert_eq!(model("/predictions/%zz").as_deref(), Some("%zz"));
    }

    #[test]
    fn b34_invocations_name_the_model_in_the_query() {
        let model = |path, query| model_of_target(path, query).map(Cow::into_owned);
        assert_eq!(
            model("/invocations", Some("a=1&model_name=m%6cp&model_name=x")).as_deref(),
            Some("mlp")
        );
        assert_eq!(model("/invocations", Some("model=mlp")), None);
        assert_eq!(model("/invocations", None), None);
        assert_eq!(model("/ping", Some("model_name=mlp")), None);
        assert_eq!(model("/predictions/a", Some("model_name=b")).as_deref(), Some("a"));
    }

    #[test]
    fn b33_a_shared_socket_keeps_the_apis_apart() {
        for path in [
            "/models",
            "/models/",
            "/models/m",
            "/models/m/1.0",
            "/%6dodels/m",
            "/v1/models/m",
            "/models/m/1.0/set-default",
            "/workflows",
            "/token",
            "/models/m/invoke/x",
        ] {
            assert_eq!(api_of_path(path), Listener::Management, "{path}");
        }
        for path in [
            "/",
            "/ping",
            "/predictions/m",
            "/models/m/invoke",
            "/v1/models/m:predict",
            "/v2/models/m/infer",
            "/nope",
            "/api-description",
        ] {
            assert_eq!(api_of_path(path), Listener::Inference, "{path}");
        }
        assert_eq!(api_of_path("/metrics"), Listener::Metrics);
    }
}
