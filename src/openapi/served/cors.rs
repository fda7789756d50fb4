//! What is shown and changed of CORS while the server runs. PURE.

use serde_json::{Value, json};

use super::Paths;
use super::parts::{answer, item, json_answer, operation, query};

/// Of the management listener.
pub(super) fn managed_paths() -> Paths {
    Paths::from_iter([
        item("/cors/policy", [("get", policy())]),
        item("/cors/denied", [("get", denied())]),
        item("/cors/origins", [("get", origins())]),
        item("/cors/reload", [("post", reload())]),
        item("/cors/rollback", [("post", rollback())]),
    ])
}

/// Of the inference listener, where the beacon is on. Open: refused pages report, too.
pub(super) fn beacon_paths(report: &str) -> Paths {
    let script = answer("The script for pages.", json!({"text/javascript; charset=utf-8": {}}));
    let mut script =
        operation("corsScript", "Counts what becomes of a page's calls", &[(200, script)], &[]);
    let taken = json!({"description": "Always, whether it was counted or not."});
    let mut take = operation("corsReport", "What became of a page's calls", &[(204, taken)], &[]);
    let counts = json!({"type": "object", "additionalProperties": number()});
    let form = object(json!(["v", "counts"]), json!({"v": {"const": 1}, "counts": counts}));
    take["requestBody"] = json!({"content": {"text/plain": {"schema": {
        "type": "string",
        "maxLength": 4096,
        "contentMediaType": "application/json",
        "contentSchema": form,
    }}}});
    for operation in [&mut script, &mut take] {
        operation["security"] = json!([]);
    }
    Paths::from_iter([item("/cors/rum.js", [("get", script)]), item(report, [("post", take)])])
}

fn text() -> Value {
    json!({"type": "string"})
}

fn number() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn listener() -> Value {
    json!({"type": "string", "enum": ["inference", "management", "metrics"]})
}

fn object(required: Value, properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn diagnostic() -> Value {
    object(
        json!(["code", "file", "line", "key", "message"]),
        json!({
            "code": text(), "file": text(), "line": number(), "key": text(), "message": text(),
            "fix": text(),
        }),
    )
}

fn trigger() -> Value {
    json!({"type": "string", "enum": ["start", "signal", "file", "api"]})
}

fn summary() -> Value {
    object(
        json!([
            "listener",
            "policy",
            "on",
            "mode",
            "origins",
            "methods",
            "headers",
            "credentials",
            "max_age",
            "block",
            "matrix"
        ]),
        json!({
            "listener": listener(),
            "policy": {"type": "string", "description": "The listener, model:NAME or route:ID."},
            "on": {"type": "boolean"},
            "mode": {"type": "string", "enum": ["enforce", "shadow", "off"]},
            "origins": number(),
            "methods": text(),
            "headers": text(),
            "exposed": text(),
            "credentials": {"type": "boolean"},
            "max_age": number(),
            "block": {"type": "string", "enum": ["off", "unsafe", "all"]},
            "matrix": list(json!({"type": "object"})),
            "allowed_origins": list(text()),
            "truncated": {"type": "boolean"},
            "route": text(),
        }),
    )
}

fn policy() -> Value {
    let of_listener = object(
        json!(["listener", "hash", "mode", "since", "policies", "origin_file", "shadow"]),
        json!({
            "listener": listener(),
            "hash": text(),
            "mode": text(),
            "since": number(),
            "policies": list(summary()),
            "origin_file": {"type": ["object", "null"]},
            "shadow": {"type": ["object", "null"]},
        }),
    );
    let source = object(
        json!(["key", "value", "source", "line"]),
        json!({"key": text(), "value": text(), "source": text(), "line": number()}),
    );
    let version = object(
        json!(["hash", "since", "trigger", "listeners"]),
        json!({"hash": text(), "since": number(), "trigger": trigger(),
            "listeners": {"type": "object"}}),
    );
    let form = object(
        json!([
            "hash",
            "since",
            "trigger",
            "listeners",
            "sources",
            "warnings",
            "last_change",
            "history"
        ]),
        json!({
            "hash": text(),
            "since": {"type": "integer", "description": "Seconds of Unix time."},
            "trigger": trigger(),
            "listeners": list(of_listener),
            "sources": list(source),
            "warnings": list(diagnostic()),
            "last_change": {"type": ["object", "null"]},
            "history": list(version),
        }),
    );
    let good = json_answer("The policies in force, their sources and those before.", form);
    operation("corsPolicy", "The CORS policies in force", &[(200, good)], &[])
}

fn denied() -> Value {
    let denial = object(
        json!([
            "origin",
            "listener",
            "kind",
            "reason",
            "listed",
            "count",
            "error",
            "first_seen",
            "last_seen"
        ]),
        json!({
            "origin": {"type": "string", "description": "As the client sent it: it may be forged."},
            "listener": listener(),
            "kind": {"type": "string", "enum": ["preflight", "actual", "none"]},
            "reason": text(),
            "listed": {"type": "boolean"},
            "detail": text(),
            "count": number(),
            "error": number(),
            "first_seen": number(),
            "last_seen": number(),
        }),
    );
    let form = object(
        json!(["capacity", "denied"]),
        json!({"capacity": number(), "denied": list(denial)}),
    );
    let good = json_answer("The most frequent refusals, the most frequent first.", form);
    operation("corsDenied", "What CORS refused", &[(200, good)], &[])
}

fn origins() -> Value {
    let requests =
        object(json!(["preflight", "actual"]), json!({"preflight": number(), "actual": number()}));
    let usage = object(json!(["requests"]), json!({"requests": requests, "last_seen": number()}));
    let used = object(
        json!(["origin", "policy", "type"]),
        json!({
            "origin": text(),
            "policy": text(),
            "type": {"type": "string", "enum": ["exact", "pattern", "any"]},
            "requests": requests,
            "last_seen": number(),
        }),
    );
    let of_listener = object(
        json!(["listener", "total", "origins", "other", "unlisted"]),
        json!({
            "listener": listener(),
            "total": number(),
            "next_page_token": text(),
            "origins": list(used),
            "other": usage,
            "unlisted": usage,
        }),
    );
    let form = object(json!(["listeners"]), json!({"listeners": list(of_listener)}));
    let good = json_answer("The entries of the allow-lists with their use.", form);
    let mut origins =
        operation("corsOrigins", "How often allowed origins are used", &[(200, good)], &[]);
    origins["parameters"] = json!([
        query(
            "limit",
            json!({"type": "integer", "default": 100}),
            "Entries of a page and a listener, at most 10,000."
        ),
        query("next_page_token", json!({"type": "string"}), "next_page_token of the page before."),
    ]);
    origins
}

fn change() -> Value {
    object(
        json!([
            "result",
            "trigger",
            "hash",
            "previous_hash",
            "at",
            "seconds",
            "changes",
            "restart_required",
            "problems",
            "warnings",
            "policies"
        ]),
        json!({
            "result": {"type": "string", "enum": ["applied", "unchanged", "rejected"]},
            "trigger": trigger(),
            "hash": text(),
            "previous_hash": text(),
            "at": number(),
            "seconds": {"type": "number"},
            "changes": list(object(
                json!(["listener", "policy", "property", "before", "after"]),
                json!({"listener": listener(), "policy": text(), "property": text(),
                    "before": text(), "after": text()}),
            )),
            "restart_required": list(text()),
            "problems": list(diagnostic()),
            "warnings": list(diagnostic()),
            "policies": list(summary()),
        }),
    )
}

fn reload() -> Value {
    let good = json_answer("The policies in force now, and what changed.", change());
    operation("corsReload", "Reads the CORS settings again, all or nothing", &[(200, good)], &[400])
}

fn rollback() -> Value {
    let good = json_answer("The policies in force now, and what changed.", change());
    let mut rollback = operation(
        "corsRollback",
        "Puts one of the last 16 CORS policies back",
        &[(200, good)],
        &[400, 404],
    );
    rollback["parameters"] = json!([query("hash", text(), "Of which; without it the one before.")]);
    rollback
}
