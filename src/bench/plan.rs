//! What to do, checked: a plan that exists can be run.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Method, StatusCode};

use super::{Arrivals, BenchError};

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// At times of their own.
    Open {
        /// Requests a second.
        rate: f64,
        /// How they are spread.
        arrivals: Arrivals,
    },
    /// Each connection sends the next request when it has the answer to the one before.
    Closed,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How requests follow each other.
    pub load: Load,
    /// How long is measured.
    pub duration: Duration,
    /// For how long the same load is offered before that, unmeasured.
    pub warm_up: Duration,
    /// The most requests at once, each on a connection of its own.
    pub connections: NonZeroUsize,
    /// Threads of the generator.
    pub threads: NonZeroUsize,
}

/// What is sent, as text.
#[derive(Clone, Debug, Default)]
pub struct RequestPlan {
    /// The method; without one `POST` for requests with a body, else `GET`.
    pub method: Option<String>,
    /// `Name: value`.
    pub headers: Vec<String>,
    /// Files that are sent in turn.
    pub bodies: Vec<PathBuf>,
    /// `Content-Type`; without one it follows the first file's name.
    pub content_type: Option<String>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The status that counts as ok; without one any 2xx.
    pub expected: Option<u16>,
}

/// [`RequestPlan`], read.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    /// At least one; empty when there is nothing to send.
    pub(super) bodies: Vec<Bytes>,
    pub(super) expected: Option<StatusCode>,
}

/// A rate that no single machine offers.
const MAX_RATE: f64 = 10_000_000.0;
/// Long enough for a soak test of a day.
const MAX_DURATION: Duration = Duration::from_secs(86_400);
/// Shorter runs say nothing.
const MIN_DURATION: Duration = Duration::from_millis(100);
/// Each costs a task and a descriptor.
const MAX_CONNECTIONS: usize = 20_000;
/// More threads than any load needs.
const MAX_THREADS: usize = 256;
/// What all bodies together may take, in bytes: they stay in memory.
const MAX_BODIES: u64 = 1 << 30;

// === impl Plan ===

impl Plan {
    /// Checks that the plan can be run.
    ///
    /// # Errors
    /// [`BenchError::Setting`] names the flag and its bounds.
    pub fn check(&self) -> Result<(), BenchError> {
        let wrong = |text: String| Err(BenchError::Setting(text));
        if let Load::Open { rate, .. } = self.load {
            // Written so that NaN is refused, too.
            if !(rate > 0.0 && rate <= MAX_RATE) {
                return wrong(format!(
                    "--rate {rate}: more than 0 and at most {MAX_RATE} a second"
                ));
            }
            if rate * self.duration.as_secs_f64() < 1.0 {
                return wrong(format!(
                    "--rate {rate}: not one request in {:?}; raise --rate or --duration",
                    self.duration
                ));
            }
        }
        if self.duration < MIN_DURATION || self.duration > MAX_DURATION {
            return wrong(format!("--duration {:?}: from 100ms to 24h", self.duration));
        }
        if self.warm_up > MAX_DURATION {
            return wrong(format!("--warm-up {:?}: at most 24h", self.warm_up));
        }
        if self.connections.get() > MAX_CONNECTIONS {
            return wrong(format!("--connections {}: at most {MAX_CONNECTIONS}", self.connections));
        }
        if self.threads.get() > MAX_THREADS || self.threads > self.connections {
            return wrong(format!(
                "--threads {}: at most {MAX_THREADS}, and no more than --connections",
                self.threads
            ));
        }
        Ok(())
    }
}

// === impl RequestPlan ===

impl RequestPlan {
    /// Reads the files and the words.
    ///
    /// # Errors
    /// [`BenchError`] names the flag or the file.
    pub(super) fn read(&self) -> Result<Content, BenchError> {
        let wrong = |text: String| BenchError::Setting(text);
        let bodies = self.read_bodies()?;
        let method = match &self.method {
            None if self.bodies.is_empty() => Method::GET,
            None => Method::POST,
            Some(name) => Method::from_bytes(name.as_bytes())
                .ok()
                .filter(|method| *method != Method::CONNECT)
                .ok_or_else(|| wrong(format!("--method {name:?}: not a method to request with")))?,
        };
        let expected = match self.expected.map(StatusCode::from_u16) {
            None => None,
            // Interim answers never end an exchange.
            Some(Ok(status)) if !status.is_informational() => Some(status),
            Some(_) => return Err(wrong("--expect-status: from 200 to 999".to_owned())),
        };
        if self.timeout < Duration::from_millis(1) || self.timeout > MAX_DURATION {
            return Err(wrong(format!("--timeout {:?}: from 1ms to 24h", self.timeout)));
        }
        Ok(Content { method, headers: self.read_headers()?, bodies, expected })
    }

    fn read_bodies(&self) -> Result<Vec<Bytes>, BenchError> {
        let mut left = MAX_BODIES;
        let mut bodies = Vec::with_capacity(self.bodies.len().max(1));
        for path in &self.bodies {
            let failed = |source| BenchError::Body { path: path.clone(), source };
            let size = std::fs::metadata(path).map_err(failed)?.len();
            left = left.checked_sub(size).ok_or_else(|| {
                BenchError::Setting("--body: more than 1 GiB in all files together".to_owned())
            })?;
            bodies.push(Bytes::from(std::fs::read(path).map_err(failed)?));
        }
        if bodies.is_empty() {
            bodies.push(Bytes::new());
        }
        Ok(bodies)
    }

    fn read_headers(&self) -> Result<HeaderMap, BenchError> {
        let mut headers = HeaderMap::new();
        for line in &self.headers {
            // The value may be a secret: it is not repeated.
            let (name, value) = line.split_once(':').ok_or_else(|| {
                BenchError::Setting("--header: not in the form `Name: value`".to_owned())
            })?;
            let wrong = |reason: &str| BenchError::Setting(format!("--header {name:?}: {reason}"));
            let parsed: HeaderName =
                name.trim().parse().map_err(|_| wrong("not a header's name"))?;
            if parsed == CONTENT_LENGTH || parsed == TRANSFER_ENCODING {
                return Err(wrong("follows from the body"));
            }
            let value = HeaderValue::from_str(value.trim());
            let value = value.map_err(|_| wrong("the value has characters that cannot be sent"))?;
            // Two Host lines are no request.
            if parsed == HOST {
                headers.insert(parsed, value);
            } else {
                headers.append(parsed, value);
            }
        }
        if let Some(content_type) = &self.content_type {
            let value = HeaderValue::from_str(content_type).map_err(|_| {
                BenchError::Setting(format!("--content-type {content_type:?}: cannot be sent"))
            })?;
            headers.insert(CONTENT_TYPE, value);
        } else if let Some(path) = self.bodies.first()
            && !headers.contains_key(CONTENT_TYPE)
        {
            let extension = path.extension().and_then(|extension| extension.to_str());
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(extension)));
        }
        Ok(headers)
    }
}

/// What a file with this extension is sent as.
fn media_type(extension: Option<&str>) -> &'static str {
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("json") => "application/json",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("txt") => "text/plain",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            load: Load::Open { rate: 100.0, arrivals: Arrivals::Constant },
            duration: Duration::from_secs(1),
            warm_up: Duration::ZERO,
            connections: NonZeroUsize::new(4).unwrap(),
            threads: NonZeroUsize::MIN,
        }
    }

    fn request() -> RequestPlan {
        RequestPlan { timeout: Duration::from_secs(1), ..RequestPlan::default() }
    }

    #[test]
    fn a_plan_out_of_its_bounds_is_refused_with_the_flag() {
        plan().check().unwrap();
        let open = |rate| Load::Open { rate, arrivals: Arrivals::Constant };
        let of = |number| NonZeroUsize::new(number).unwrap();
        for (wrong, flag) in [
            (Plan { load: open(0.0), ..plan() }, "--rate"),
            (Plan { load: open(-1.0), ..plan() }, "--rate"),
            (Plan { load: open(f64::NAN), ..plan() }, "--rate"),
            (Plan { load: open(f64::INFINITY), ..plan() }, "--rate"),
            (Plan { load: open(0.5), ..plan() }, "not one request"),
            (Plan { duration: Duration::from_millis(1), ..plan() }, "--duration"),
            (Plan { warm_up: Duration::MAX, ..plan() }, "--warm-up"),
            (Plan { connections: of(1_000_000), ..plan() }, "--connections"),
            (Plan { threads: of(5), ..plan() }, "--threads"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }

    #[test]
    fn method_and_content_type_follow_from_the_body() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, "[1]").unwrap();
        let content = RequestPlan { bodies: vec![path.clone()], ..request() }.read().unwrap();
        assert_eq!(content.method, Method::POST);
        assert_eq!(content.headers[CONTENT_TYPE], "application/json");
        assert_eq!(content.bodies, ["[1]"]);
        let headers = vec!["content-type: text/x".to_owned()];
        let content = RequestPlan { bodies: vec![path], headers, ..request() }.read().unwrap();
        assert_eq!(content.headers[CONTENT_TYPE], "text/x");
        let content = request().read().unwrap();
        assert_eq!((content.method, content.bodies.len()), (Method::GET, 1));
        assert!(content.headers.is_empty());
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_repeating_a_value() {
        let header = |line: &str| RequestPlan { headers: vec![line.to_owned()], ..request() };
        for (wrong, part) in [
            (header("Authorization Bearer hidden"), "--header"),
            (header("Na me: hidden"), "not a header's name"),
            (header("X-A: hidden\nX-B: hidden"), "cannot be sent"),
            (header("Content-Length: 3"), "follows from the body"),
            (RequestPlan { method: Some("GE T".to_owned()), ..request() }, "--method"),
            (RequestPlan { expected: Some(100), ..request() }, "--expect-status"),
            (RequestPlan { timeout: Duration::ZERO, ..request() }, "--timeout"),
            (RequestPlan { bodies: vec!["no/such".into()], ..request() }, "no/such"),
        ] {
            let error = wrong.read().unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("hidden"), "{error}");
        }
    }
}
