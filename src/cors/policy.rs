//! One CORS policy: what is allowed, checked as a whole, with every header value made in advance.
//!
//! Built from a [`PolicySpec`] and immutable afterwards: a reload makes a new one. The bytes sent
//! depend on the configuration alone (B46).

use std::sync::Arc;

use super::{
    interned::interned,
    listener::{Listener, PolicyName},
    origins::{AllowedOrigins, OriginSet},
    spec::{Block, Conflict, Mode, PolicySpec, PreflightStatus},
    tally::Tally,
    wire::{HeaderName, HeaderValue, StatusCode, header, name},
};

/// A sound policy.
#[derive(Clone, Debug)]
pub struct CorsPolicy {
    spec: PolicySpec,
    label: Arc<str>,
    origins: OriginSet,
    preflight_headers: Box<[(HeaderName, HeaderValue)]>,
    /// The same as lines of an answer.
    preflight_lines: Box<[u8]>,
    actual_headers: Box<[(HeaderName, HeaderValue)]>,
    /// None until it is put in service.
    tally: Option<Arc<Tally>>,
}

const TRUE: HeaderValue = HeaderValue::from_static("true");
const VARY_PREFLIGHT: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
);
const VARY_PREFLIGHT_PRIVATE_NETWORK: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, \
     Access-Control-Request-Private-Network",
);

// === impl CorsPolicy ===

impl CorsPolicy {
    /// Checks the combination and prepares lookups and headers.
    ///
    /// # Errors
    /// Every conflict.
    pub fn try_new(spec: PolicySpec) -> Result<Self, Vec<Conflict>> {
        let conflicts = spec.conflicts();
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let label = match &spec.name {
            PolicyName::Listener => Arc::from(spec.listener.as_str()),
            PolicyName::Model(model) => Arc::from(format!("model:{model}")),
            PolicyName::Route(id) => Arc::from(format!("route:{id}")),
        };
        let preflight_headers = preflight_headers(&spec);
        Ok(Self {
            label,
            origins: OriginSet::new(&spec.origins),
            preflight_lines: as_lines(&preflight_headers),
            preflight_headers,
            actual_headers: actual_headers(&spec),
            tally: None,
            spec,
        })
    }

    /// The policy of a listener that has no CORS setting.
    pub fn off(listener: Listener) -> Self {
        let spec = PolicySpec::new(listener);
        let preflight_headers = preflight_headers(&spec);
        Self {
            label: Arc::from(listener.as_str()),
            origins: OriginSet::new(&AllowedOrigins::None),
            preflight_lines: as_lines(&preflight_headers),
            preflight_headers,
            actual_headers: actual_headers(&spec),
            tally: None,
            spec,
        }
    }

    /// The same listener, sharing nothing and refusing every request of a foreign page.
    pub(super) fn closed(&self) -> Self {
        let mut spec = PolicySpec::new(self.spec.listener);
        spec.block = Block::All;
        spec.log = self.spec.log;
        spec.https = self.spec.https;
        spec.same_origin_hosts = Arc::clone(&self.spec.same_origin_hosts);
        spec.allowed_hosts = Arc::clone(&self.spec.allowed_hosts);
        // Without an origin no two properties conflict.
        Self { spec, ..Self::off(self.spec.listener) }
    }

    /// What it says.
    pub fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    /// Whose it is.
    pub fn listener(&self) -> Listener {
        self.spec.listener
    }

    /// The label of logs and metrics: the listener, `model:<name>` or `route:<id>`.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Who may read, ready for lookups.
    pub fn origins(&self) -> &OriginSet {
        &self.origins
    }

    /// Some origin is allowed and the mode is enforce.
    pub fn is_on(&self) -> bool {
        self.spec.mode == Mode::Enforce && !self.origins.is_empty()
    }

    /// Some origin is allowed and the mode is shadow: decisions are counted and nothing is sent.
    pub fn is_shadow(&self) -> bool {
        self.spec.mode == Mode::Shadow && !self.origins.is_empty()
    }

    /// Where its decisions are counted; none before it is put in service.
    pub fn tally(&self) -> Option<&Arc<Tally>> {
        self.tally.as_ref()
    }

    /// Its decisions are counted here from now on.
    pub(super) fn set_tally(&mut self, tally: Arc<Tally>) {
        self.tally = Some(tally);
    }

    /// Whether answers depend on `Origin`, so that caches must know (B18).
    pub fn varies_by_origin(&self) -> bool {
        match self.is_on() {
            true => !self.origins.is_any(),
            false => self.spec.block == Block::All,
        }
    }

    /// The status of a granted preflight.
    pub fn preflight_status(&self) -> StatusCode {
        match self.spec.preflight_status {
            PreflightStatus::NoContent => StatusCode::NO_CONTENT,
            PreflightStatus::Ok => StatusCode::OK,
        }
    }

    /// The headers of a granted preflight but the origin and the private network, `Vary` included.
    pub(super) fn preflight_headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.preflight_headers
    }

    /// [`Self::preflight_headers`] as lines of an answer.
    pub(super) fn preflight_lines(&self) -> &[u8] {
        &self.preflight_lines
    }

    /// The headers of a shared answer but the origin and `Vary`.
    pub(super) fn actual_headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.actual_headers
    }

    /// `Vary` of every preflight, granted or refused.
    pub(super) fn preflight_vary(&self) -> HeaderValue {
        if self.spec.private_network { VARY_PREFLIGHT_PRIVATE_NETWORK } else { VARY_PREFLIGHT }
    }
}

fn preflight_headers(spec: &PolicySpec) -> Box<[(HeaderName, HeaderValue)]> {
    let mut headers = vec![
        (header::ACCESS_CONTROL_ALLOW_METHODS, baked(spec.methods.header_value())),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, baked(spec.headers.header_value())),
        (header::ACCESS_CONTROL_MAX_AGE, interned(HeaderValue::from(spec.max_age))),
    ];
    if spec.credentials {
        headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE));
    }
    if let Some(cache_control) = &spec.preflight_cache_control {
        headers.push((header::CACHE_CONTROL, interned(cache_control.clone())));
    }
    let vary = if spec.private_network { VARY_PREFLIGHT_PRIVATE_NETWORK } else { VARY_PREFLIGHT };
    headers.push((header::VARY, vary));
    headers.into()
}

fn as_lines(headers: &[(HeaderName, HeaderValue)]) -> Box<[u8]> {
    let mut lines = Vec::new();
    headers.iter().for_each(|(name, value)| write_line(&mut lines, name, value));
    lines.into()
}

/// One header of an answer, as it is sent.
pub(super) fn write_line(lines: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        lines.extend_from_slice(part);
    }
}

fn actual_headers(spec: &PolicySpec) -> Box<[(HeaderName, HeaderValue)]> {
    let mut headers = Vec::new();
    if spec.credentials {
        headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE));
    }
    if let Some(exposed) = spec.exposed.header_value() {
        headers.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, baked(exposed)));
    }
    headers.into()
}

/// Lists of tokens are always header values; should one not be, it is left empty: nothing is
/// allowed.
fn baked(list: String) -> HeaderValue {
    interned(HeaderValue::try_from(list).unwrap_or(HeaderValue::from_static("")))
}

/// The grant of Private Network Access.
pub(super) const PRIVATE_NETWORK_GRANT: (HeaderName, HeaderValue) =
    (name::ACCESS_CONTROL_ALLOW_PRIVATE_NETWORK, TRUE);
