//! `torchfront cors probe`: the CORS of any running server, judged from outside.
//!
//! Called by `commands/cors_probe.rs`. It sends what browsers and attackers send and judges the answers
//! with the Fetch standard's own steps (`cors::PageRequest`); with a policy in hand it also says where
//! the server does more or less than that.
//!
//! ```text
//! plan.rs         what to send to whom, and what to expect      target.rs    a URL, vetted
//! client.rs       one request and the head of its answer        exchange.rs  both, as they were
//! look_alikes.rs  origins that resemble an allowed one; PURE
//! sending.rs      the exchanges of one endpoint                 checks.rs    judges them; PURE
//! compare.rs      what an edge changes; PURE
//! report.rs       what is printed                               textfile.rs  what Prometheus reads
//! ```
//!
//! Bounds: origins, methods and look-alikes are counted, every answer has a time and a size, the whole
//! has a time. Redirects are not followed. A token goes to the URLs that were named, with requests and
//! never with preflights, and is never printed.

mod checks;
mod client;
mod compare;
mod exchange;
mod look_alikes;
mod plan;
mod report;
mod sending;
mod target;
mod textfile;

pub use checks::{Check, Flow, Outcome};
pub use compare::{Difference, DifferenceKind};
pub use plan::{Expected, Plan, PlanError};
pub use report::{Endpoint, Report};
pub use sending::probe;
pub use target::Target;
pub use textfile::TextfileError;
