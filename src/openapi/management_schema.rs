//! The bodies that the management listener's description speaks of. PURE.

use super::document::{Response, Schema};

const JSON: &str = "application/json";

/// `{"status": "..."}`. "Error type." is TorchServe's word for it.
pub(super) fn status(description: &'static str) -> Response {
    let text = Schema::of("string").about("Error type.");
    Response::of(description, JSON, Schema::object(&["status"], [("status", text)]))
}

/// A page of the list of models.
pub(super) fn listed() -> Response {
    let token = Schema::of("string").about(
        "Use this parameter in a subsequent request after you receive a response with truncated \
         results. Set it to the value of NextMarker from the truncated response you just received.",
    );
    let model = Schema::object(
        &["modelName", "modelUrl"],
        [
            ("modelName", Schema::of("string").about("Name of the model.")),
            ("modelUrl", Schema::of("string").about("URL of the model.")),
        ],
    );
    let models = Schema::array(model).about("A list of registered models.");
    let properties = [("nextPageToken", token), ("models", models)];
    Response::of("OK", JSON, Schema::object(&["models"], properties))
}

/// A model, as TorchServe's document says that it is described.
pub(super) fn described() -> Response {
    let text = |about| Schema::of("string").about(about);
    let number = |about| Schema::of("integer").about(about);
    let required = [
        "modelName",
        "modelVersion",
        "modelUrl",
        "minWorkers",
        "maxWorkers",
        "status",
        "workers",
        "metrics",
        "jobQueueStatus",
    ];
    let schema = Schema::object(
        &required,
        [
            ("modelName", text("Name of the model.")),
            ("modelVersion", text("Version of the model.")),
            ("modelUrl", text("URL of the model.")),
            ("minWorkers", number("Configured minimum number of worker.")),
            ("maxWorkers", number("Configured maximum number of worker.")),
            ("batchSize", number("Configured batch size.")),
            ("maxBatchDelay", number("Configured maximum batch delay in ms.")),
            ("status", text("Overall health status of the model")),
            ("workers", Schema::array(worker()).about("A list of active backend workers.")),
            ("metrics", metrics()),
            ("jobQueueStatus", queue()),
        ],
    );
    Response::of("OK", JSON, schema)
}

fn worker() -> Schema {
    let states = ["READY", "LOADING", "UNLOADING"];
    Schema::object(
        &["id", "startTime", "status"],
        [
            ("id", Schema::of("string").about("Worker id")),
            ("startTime", Schema::of("string").about("Worker start time")),
            ("gpu", Schema::of("boolean").about("If running on GPU")),
            ("status", Schema::of("string").about("Worker status").one_of(&states)),
        ],
    )
}

fn metrics() -> Schema {
    let number = |about| Schema::of("integer").about(about);
    Schema::object(
        &["rejectedRequests", "waitingQueueSize", "requests"],
        [
            ("rejectedRequests", number("Number requests has been rejected in last 10 minutes.")),
            ("waitingQueueSize", number("Number requests waiting in the queue.")),
            ("requests", number("Number requests processed in last 10 minutes.")),
        ],
    )
}

fn queue() -> Schema {
    let number = |about| Schema::of("integer").about(about);
    Schema::object(
        &["remainingCapacity", "pendingRequests"],
        [
            ("remainingCapacity", number("Number of new requests that can be queued.")),
            ("pendingRequests", number("Number of requests waiting in the queue.")),
        ],
    )
}
