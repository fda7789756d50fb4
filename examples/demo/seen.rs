//! The model server's access log, kept for the page.
//!
//! No script can see whether the browser sent a preflight, nor why a call was refused. The server
//! can: each line of its access log is an event of the target `access_log`, taken here on its way.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines that are kept; the page asks after each call.
const KEPT: usize = 256;

/// The latest lines of the access log. Cheap to clone.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    /// The number of the newest line; the first has 1.
    newest: u64,
    kept: VecDeque<Line>,
}

/// One line.
#[derive(Clone, Serialize)]
pub struct Line {
    /// Counts up.
    pub number: u64,
    /// The fields of the event: `method`, `path`, `status`, `ms`, `origin`, `cors` and others.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// Collects the fields of an event.
struct Fields(Map<String, Value>);

// === impl Seen ===

impl Seen {
    /// The lines after `number` that this origin caused, and the number of the newest line of all.
    pub fn after(&self, number: u64, origin: &str) -> (u64, Vec<Line>) {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_origin = |line: &&Line| {
            line.number > number
                && line.fields.get("origin").and_then(Value::as_str) == Some(origin)
        };
        (lines.newest, lines.kept.iter().filter(is_of_origin).cloned().collect())
    }

    fn add(&self, fields: Map<String, Value>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.newest += 1;
        let line = Line { number: lines.newest, fields };
        if lines.kept.len() == KEPT {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line);
    }
}

impl<S: Subscriber> Layer<S> for Seen {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        // Calls that the demo's own server repeats are not the page's.
        if fields.0.get("request_id").and_then(Value::as_str) != Some(crate::replay::REQUEST_ID) {
            self.add(fields.0);
        }
    }
}

// === impl Fields ===

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}
