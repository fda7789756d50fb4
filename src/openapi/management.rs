//! What the management listener says of itself and of one model. PURE.
//!
//! The document is TorchServe's, with the defaults that it states (`response_timeout` 2) and the
//! code 210 where it answers 206: what a client was generated from stays what it was.

use super::document::{Operation, Ordered, Parameter, PathItem, Response, Schema};
use super::management_schema::{described, listed, status};
use super::{error, operation, unexpected};

/// The paths of the management listener, but for those that every listener has.
pub(super) fn paths() -> Ordered<PathItem> {
    let models = Ordered::of([("get", list()), ("post", register())]);
    let mut paths = Ordered::of([("/models", models)]);
    paths.extend(paths_of_model());
    paths
}

/// The paths of one model: the default version, one version, its promotion.
pub(super) fn paths_of_model() -> Ordered<PathItem> {
    Ordered::of([
        ("/models/{model_name}", Ordered::of(model(Version::Default))),
        ("/models/{model_name}/{model_version}", Ordered::of(model(Version::Named))),
        ("/models/{model_name}/{model_version}/set-default", Ordered::of([("put", set_default())])),
    ])
}

/// Which version a path is about.
#[derive(Clone, Copy)]
enum Version {
    Default,
    Named,
}

fn model(version: Version) -> [(&'static str, Operation); 3] {
    [("get", describe(version)), ("put", scale(version)), ("delete", unregister(version))]
}

fn query(
    name: &'static str,
    of: &'static str,
    default: &'static str,
    text: &'static str,
) -> Parameter {
    Parameter::query(name, Schema::of(of).or(default), text)
}

fn list() -> Operation {
    let parameters = vec![
        query(
            "limit",
            "integer",
            "100",
            "Use this parameter to specify the maximum number of items to return. When this value \
             is present, TorchServe does not return more than the specified number of items, but \
             it might return fewer. This value is optional. If you include a value, it must be \
             between 1 and 1000, inclusive. If you do not include a value, it defaults to 100.",
        ),
        Parameter::query(
            "next_page_token",
            Schema::of("string"),
            "The token to retrieve the next set of results. TorchServe provides the token when the \
             response from a previous call has more results than the maximum page size.",
        ),
    ];
    let responses = [("200", listed()), unexpected()];
    operation("List registered models in TorchServe.", "listModels", parameters, responses)
}

fn register() -> Operation {
    let text = |name, text| Parameter::query(name, Schema::of("string"), text);
    let parameters = vec![
        text(
            "url",
            "Model archive download url, support local file or HTTP(s) protocol. For S3, consider \
             use pre-signed url.",
        )
        .required(),
        text(
            "model_name",
            "Name of model. This value will override modelName in MANIFEST.json if present.",
        ),
        text(
            "handler",
            "Inference handler entry-point. This value will override handler in MANIFEST.json if \
             present.",
        ),
        Parameter::query(
            "runtime",
            Schema::of("string").one_of(&["PYTHON", "PYTHON3", "LSP"]),
            "Runtime for the model custom service code. This value will override runtime in \
             MANIFEST.json if present.",
        ),
        query("batch_size", "integer", "1", "Inference batch size, default: 1."),
        query(
            "max_batch_delay",
            "integer",
            "100",
            "Maximum delay for batch aggregation, default: 100.",
        ),
        query(
            "response_timeout",
            "integer",
            "2",
            "Maximum time, in seconds, the TorchServe waits for a response from the model \
             inference code, default: 120.",
        ),
        query(
            "startup_timeout",
            "integer",
            "120",
            "Maximum time, in seconds, the TorchServe waits for the model to startup/initialize, \
             default: 120.",
        ),
        query("initial_workers", "integer", "0", "Number of initial workers, default: 0."),
        query(
            "synchronous",
            "boolean",
            "false",
            "Decides whether creation of worker synchronous or not, default: false.",
        ),
        query(
            "s3_sse_kms",
            "boolean",
            "false",
            "Model mar file is S3 SSE KMS(server side encryption) enabled or not, default: false.",
        ),
    ];
    let responses = [
        ("200", status("Model registered")),
        ("202", status("Accepted")),
        ("210", status("Partial Success")),
        ("400", error("Bad request")),
        ("404", error("Model not found")),
        ("409", error("Model already registered")),
        unexpected(),
    ];
    operation("Register a new model in TorchServe.", "registerModel", parameters, responses)
}

fn describe(version: Version) -> Operation {
    let name = Parameter::path("model_name", "Name of model to describe.");
    let responses = [("200", described()), ("404", not_found()), unexpected()];
    match version {
        Version::Default => operation(
            "Provides detailed information about the default version of a model.",
            "describeModel",
            vec![name],
            responses,
        ),
        Version::Named => operation(
            "Provides detailed information about the specified version of a model.If \"all\" is \
             specified as version, returns the details about all the versions of the model.",
            "version_describeModel",
            vec![name, Parameter::path("model_version", "Version of model to describe.")],
            responses,
        ),
    }
}

fn scale(version: Version) -> Operation {
    let mut parameters = vec![Parameter::path("model_name", "Name of model to scale workers.")];
    let (which, id) = match version {
        Version::Default => ("a default version", "setAutoScale"),
        Version::Named => {
            let text = "Version of model to scale workers.";
            parameters.push(Parameter::path("model_version", text));
            ("a specified version", "version_setAutoScale")
        }
    };
    parameters.extend([
        query("min_worker", "integer", "1", "Minimum number of worker processes."),
        query("max_worker", "integer", "1", "Maximum number of worker processes."),
        query("number_gpu", "integer", "0", "Number of GPU worker processes to create."),
        synchronous(),
        timeout(),
    ]);
    let responses = [
        ("200", status("Model workers updated")),
        ("202", status("Accepted")),
        ("210", status("Partial Success")),
        ("400", error("Bad request")),
        ("404", not_found()),
        unexpected(),
    ];
    let text = format!(
        "Configure number of workers for {which} of a model. This is an asynchronous call by \
         default. Caller need to call describeModel to check if the model workers has been changed."
    );
    operation(text, id, parameters, responses)
}

fn unregister(version: Version) -> Operation {
    let mut parameters = vec![Parameter::path("model_name", "Name of model to unregister.")];
    let (text, id) = match version {
        Version::Default => (
            "Unregister the default version of a model from TorchServe if it is the only version \
             available. This is an asynchronous call by default. Caller can call listModels to \
             confirm model is unregistered.",
            "unregisterModel",
        ),
        Version::Named => {
            let text = "Version of model to unregister.";
            parameters.push(Parameter::path("model_version", text));
            (
                "Unregister the specified version of a model from TorchServe. This is an \
                 asynchronous call by default. Caller can call listModels to confirm model is \
                 unregistered",
                "version_unregisterModel",
            )
        }
    };
    parameters.extend([synchronous(), timeout()]);
    let responses = [
        ("200", status("Model unregistered")),
        ("202", status("Accepted")),
        ("404", not_found()),
        ("408", error("Request Timeout Error")),
        unexpected(),
    ];
    operation(text, id, parameters, responses)
}

fn set_default() -> Operation {
    let parameters = vec![
        Parameter::path("model_name", "Name of model whose default version needs to be updated."),
        Parameter::path(
            "model_version",
            "Version of model to be set as default version for the model",
        ),
    ];
    let updated = status("Default version successfully updated for model");
    let responses = [("200", updated), ("404", not_found()), unexpected()];
    operation("Set default version of a model", "setDefault", parameters, responses)
}

fn synchronous() -> Parameter {
    let text = "Decides whether the call is synchronous or not, default: false.";
    query("synchronous", "boolean", "false", text)
}

fn timeout() -> Parameter {
    query(
        "timeout",
        "integer",
        "-1",
        "Waiting up to the specified wait time if necessary for a worker to complete all pending \
         requests. Use 0 to terminate backend worker process immediately. Use -1 for wait \
         infinitely.",
    )
}

fn not_found() -> Response {
    error("Model not found or Model version not found")
}
