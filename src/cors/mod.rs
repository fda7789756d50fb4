//! Who may call this server from a web page: a pure decision, and a thin middleware around it.
//!
//! A cross-origin request is allowed if its origin is allowed **and** its method **and** the names
//! of its headers. The preflight is checked for all three, the request itself again for origin and
//! method. Nothing is reflected but an allowed origin.
//!
//! | request | policy | origin | method, headers | answer |
//! |---|---|---|---|---|
//! | any | off | | | as if this room did not exist |
//! | without `Origin` | list | | | the router's, `Vary: Origin` |
//! | without `Origin` | `*` | | | the router's, `Access-Control-Allow-Origin: *` |
//! | a preflight: OPTIONS, `Origin`, requested method | on | allowed | allowed | 204 |
//! | the same | on | allowed | refused | 403, no CORS header |
//! | the same | on | refused | | 403, no CORS header |
//! | other with `Origin` | on | allowed | allowed | the router's, shared |
//! | other with `Origin` | on | allowed | refused | the router's, not shared |
//! | other with `Origin` | on | refused | | the router's, not shared |
//! | foreign page, unsafe method | `block=unsafe` | refused or method refused | | 403 |
//! | foreign page | `block=all` | the same | | 403 |
//!
//! The management listener starts with `block=unsafe`, also when CORS is off: no header of an
//! answer stops a simple request, and its API loads code.
//!
//! Files: `origin` and `pattern` are the grammar, `origins` the compiled list, `methods` `headers`
//! `exposed` `hosts` the other lists, `spec` puts them together and `policy` bakes them, `listener`
//! chooses among policies by model and route (`path` reads targets as the router does), `decide`
//! decides, `answer` says it (in `interned` values), `middleware` does it under the `policy_handle` in
//! force and tells the `observer`, which counts in the `tally` beside each policy.
//! `settings` compiles properties; `explain`, `check` and `described` tell about it, `diff` compares two
//! policies, `vectors` holds one against written expectations (all by `imagined` answers), `export`
//! writes it for the edge; `browser` is the other side of the wire.

mod actix;
mod address;
mod answer;
mod browser;
mod check;
mod cross_site;
mod decide;
mod decision;
mod described;
mod diagnostic;
mod diff;
mod explain;
mod export;
mod exposed;
mod facts;
mod headers;
mod hosts;
mod imagined;
mod interned;
mod listener;
mod methods;
mod middleware;
mod observer;
mod origin;
mod origins;
mod path;
mod pattern;
mod policy;
mod policy_handle;
pub mod settings;
mod spec;
mod syntax;
mod tally;
#[cfg(test)]
mod tests;
mod vary;
mod vectors;
mod wire;

pub use answer::Answer;
pub use browser::{PageHeader, PageRequest, Refusal};
pub use check::{CheckReport, PolicySummary};
pub use decide::decide;
pub use decision::{Action, AllowOrigin, Decision, Kind, Reason, Verdict};
pub use described::{hash as policy_hash, hash_of_text};
pub use diagnostic::{Diagnostic, Finding, Parsed, Severity};
pub use diff::{Change, Direction, PolicyDiff};
pub use explain::{Exchange, Explanation, Step, explain};
pub use export::{Export, ExportTarget, Place, Unexpressible, export};
pub use exposed::ExposedHeaders;
pub use facts::{PREFLIGHT_LINES, PreflightLine, RequestFacts, RequestSketch};
pub use headers::{AllowedHeaders, HeadersFault};
pub use hosts::HostList;
pub use listener::{Listener, ListenerPolicies, ListenerPolicy, PolicyName, RoutePattern};
pub use methods::AllowedMethods;
pub use middleware::{Cors, CorsService, Grant, ModelPolicies, ServedModel};
pub use observer::{AnswerFacts, CorsObserver, CorsOutcome, Taken, Unobserved};
pub use origin::{MAX_ORIGIN_BYTES, OriginFault, SerializedOrigin};
pub use origins::{AllowedOrigins, EntryIndex, OriginSet};
pub use path::{api_of_path, decode_path, is_reserved, model_of_path, model_of_target, segments};
pub use pattern::{HostPattern, OriginPattern, PortPattern};
pub use policy::CorsPolicy;
pub use policy_handle::PolicyHandle;
pub use settings::{
    BindScope, Compiled, Disk, Files, ListenerFacts, Operation, Operations, OriginFile, Report,
    SelfTest, Setting, SettingOrigin, compile, compile_with, is_cors_key, listener_of,
};
pub use spec::{
    Accepted, Block, Conflict, DecisionLog, Engine, Mode, PolicySpec, PreflightStatus, Property,
};
pub use tally::{OriginTally, Slot, Tally};
pub use vectors::{
    Answers, Placeholder, Vector, VectorFile, VectorGroup, VectorOutcome, VectorPolicy,
};
pub use wire::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
