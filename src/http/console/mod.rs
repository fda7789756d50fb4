//! What `/console` asks for, with the management key where there is one:
//!
//! | path | answer |
//! |---|---|
//! | `/console/state` | models, workers, queues, latency: `overview.rs` |
//! | `/console/explain` | what becomes of a page's request under the policy in force: `explain.rs` |
//!
//! `/cors/policy` and `/cors/denied` have the rest. For the console's own page only, never for one of
//! another origin (`page.rs`).

mod explain;
mod overview;

pub(super) use explain::answer as explain;
pub(super) use overview::answer as overview;
