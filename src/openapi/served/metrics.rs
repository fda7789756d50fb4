//! The metrics listener. PURE.

use serde_json::json;

use super::Paths;
use super::parts::{answer, item, operation, query};

pub(super) fn paths() -> Paths {
    let text = json!({"text/plain": {"schema": {"type": "string"}}});
    let mut metrics = operation(
        "metrics",
        "The metrics in Prometheus' text format",
        &[(200, answer("The metrics.", text))],
        &[],
    );
    let names = json!({"type": "array", "items": {"type": "string"}});
    metrics["parameters"] = json!([query("name[]", names, "Only these families.")]);
    Paths::from_iter([item("/metrics", [("get", metrics)])])
}
