//! Which policy a request falls under: the listener's, or that of its model or route.
//!
//! A policy belongs to an API, not to a socket (B33). Overrides are chosen with the router's own
//! reading of the path (`path.rs`): a model's before a route's, the longest route first (B34).

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;

use super::{decide::decide, decision::Decision, facts::RequestFacts, path, policy::CorsPolicy};

/// The three APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Listener {
    /// Predictions.
    Inference,
    /// Models and workers.
    Management,
    /// Prometheus.
    Metrics,
}

/// Which part of a listener a policy is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyName {
    /// All of it, but for the overrides.
    Listener,
    /// One model.
    Model(String),
    /// One path or the paths below it, by the identifier in the configuration.
    Route(String),
}

/// The policies of one listener.
#[derive(Clone, Debug)]
pub struct ListenerPolicy {
    base: Arc<CorsPolicy>,
    models: HashMap<String, Arc<CorsPolicy>>,
    /// Longest first.
    routes: Vec<(RoutePattern, Arc<CorsPolicy>)>,
}

/// An absolute path, or everything below it with a trailing `/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    segments: Vec<String>,
    below: bool,
}

/// One policy per listener.
#[derive(Clone, Debug)]
pub struct ListenerPolicies {
    /// Of 8080.
    pub inference: Arc<ListenerPolicy>,
    /// Of 8081.
    pub management: Arc<ListenerPolicy>,
    /// Of 8082.
    pub metrics: Arc<ListenerPolicy>,
}

// === impl Listener ===

impl Listener {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Inference, Self::Management, Self::Metrics];

    /// The label of logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Management => "management",
            Self::Metrics => "metrics",
        }
    }

    /// What its properties start with, without the dot.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Inference => "cors",
            Self::Management => "management_cors",
            Self::Metrics => "metrics_cors",
        }
    }
}

// === impl RoutePattern ===

impl RoutePattern {
    /// Reads `/path` or `/path/*`; `None` when it is not absolute or has `*` elsewhere.
    pub fn parse(path: &str) -> Option<Self> {
        if !path.starts_with('/') || path.contains(['?', '#']) {
            return None;
        }
        let decoded = path::decode_path(path);
        let (decoded, below) = match decoded.strip_suffix("/*") {
            Some(base) => (base, true),
            None => (&*decoded, false),
        };
        let segments = path::segments(decoded).map(str::to_owned).collect();
        (!decoded.contains('*')).then_some(Self { segments, below })
    }

    /// A path that it matches, percent-encoded.
    fn example(&self) -> String {
        use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
        let mut path: String = self
            .segments
            .iter()
            .map(|segment| format!("/{}", utf8_percent_encode(segment, NON_ALPHANUMERIC)))
            .collect();
        if self.below {
            path.push_str("/x");
        }
        if path.is_empty() { "/".to_owned() } else { path }
    }

    /// Whether a decoded path is the one or below it.
    pub fn matches(&self, decoded: &str) -> bool {
        let mut segments = path::segments(decoded);
        self.segments.iter().all(|wanted| segments.next() == Some(wanted))
            && (self.below || segments.next().is_none())
    }
}

// === impl ListenerPolicy ===

impl ListenerPolicy {
    /// A listener without overrides.
    pub fn new(base: CorsPolicy) -> Self {
        Self { base: Arc::new(base), models: HashMap::new(), routes: Vec::new() }
    }

    /// Another policy for one model.
    pub fn add_model(&mut self, model: String, policy: CorsPolicy) {
        self.models.insert(model, Arc::new(policy));
    }

    /// Another policy for the paths of a route.
    pub fn add_route(&mut self, route: RoutePattern, policy: CorsPolicy) {
        self.routes.push((route, Arc::new(policy)));
        // An exact path is longer than the same path with `/*`.
        self.routes
            .sort_by_key(|(route, _)| std::cmp::Reverse((route.segments.len(), !route.below)));
    }

    /// The policy where no override applies.
    pub fn base(&self) -> &Arc<CorsPolicy> {
        &self.base
    }

    /// The policies of models and routes, by name.
    pub fn overrides(&self) -> impl Iterator<Item = &Arc<CorsPolicy>> {
        let mut models: Vec<_> = self.models.iter().collect();
        models.sort_by_key(|(name, _)| *name);
        let routes = self.routes.iter().map(|(_, policy)| policy);
        models.into_iter().map(|(_, policy)| policy).chain(routes)
    }

    /// A path that falls under this policy of a route.
    pub(super) fn example_of_route(&self, policy: &Arc<CorsPolicy>) -> Option<String> {
        let found = self.routes.iter().find(|(_, known)| Arc::ptr_eq(known, policy));
        found.map(|(route, _)| route.example())
    }

    /// There are policies of models or routes.
    pub fn has_overrides(&self) -> bool {
        !self.models.is_empty() || !self.routes.is_empty()
    }

    /// The policy for a model and a path that is still percent-encoded.
    pub fn select(&self, model: Option<&str>, path: &str) -> &Arc<CorsPolicy> {
        if let Some(policy) = model.and_then(|model| self.models.get(model)) {
            return policy;
        }
        if self.routes.is_empty() {
            return &self.base;
        }
        let decoded = path::decode_path(path);
        let route = self.routes.iter().find(|(route, _)| route.matches(&decoded));
        route.map_or(&self.base, |(_, policy)| policy)
    }

    /// The policy that a request falls under.
    pub fn policy_for(&self, facts: &RequestFacts<'_>) -> &Arc<CorsPolicy> {
        if !self.has_overrides() {
            return &self.base;
        }
        self.select(facts.model().as_deref(), facts.path)
    }

    /// Decides on a request under the policy that applies.
    pub fn decide(&self, facts: &RequestFacts<'_>) -> (&Arc<CorsPolicy>, Decision) {
        let policy = self.policy_for(facts);
        (policy, decide(policy, facts))
    }
}

// === impl ListenerPolicies ===

impl ListenerPolicies {
    /// The policy of a listener.
    pub fn of(&self, listener: Listener) -> &Arc<ListenerPolicy> {
        match listener {
            Listener::Inference => &self.inference,
            Listener::Management => &self.management,
            Listener::Metrics => &self.metrics,
        }
    }
}

impl Default for ListenerPolicies {
    /// CORS off everywhere; management still refuses the writes of foreign pages.
    fn default() -> Self {
        let off = |listener| Arc::new(ListenerPolicy::new(CorsPolicy::off(listener)));
        Self {
            inference: off(Listener::Inference),
            management: off(Listener::Management),
            metrics: off(Listener::Metrics),
        }
    }
}
