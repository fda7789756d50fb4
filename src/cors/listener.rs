//! Which policy a request falls under: the listener's, or that of its model or route.
//!
//! A policy belongs to an API, not to a socket (B33). Overrides are chosen with the router's own
//! reading of the path (`path.rs`): a model's before a route's, the longest route first (B34).

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;

use super::{
    decide::decide, decision::Decision, described, facts::RequestFacts, path, policy::CorsPolicy,
    tally::Tally,
};

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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
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
    /// Where nothing is ever shared: what the management listener shows of CORS itself.
    closed: Option<Arc<CorsPolicy>>,
    /// The hash of what they say; empty before they are put in service.
    hash: Arc<str>,
    /// Another policy that is evaluated beside this one, and counted (`shadow.file`).
    candidate: Option<Arc<ListenerPolicy>>,
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

impl std::fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}{}", self.segments.join("/"), if self.below { "/*" } else { "" })
    }
}

// === impl ListenerPolicy ===

impl ListenerPolicy {
    /// A listener without overrides.
    pub fn new(base: CorsPolicy) -> Self {
        let closed = (base.listener() == Listener::Management).then(|| Arc::new(base.closed()));
        Self {
            closed,
            base: Arc::new(base),
            models: HashMap::new(),
            routes: Vec::new(),
            hash: Arc::from(""),
            candidate: None,
        }
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

    /// The path of a route's policy.
    pub fn route_of(&self, policy: &Arc<CorsPolicy>) -> Option<&RoutePattern> {
        let found = self.routes.iter().find(|(_, of_route)| Arc::ptr_eq(of_route, policy));
        found.map(|(route, _)| route)
    }

    /// The same, counted: by this many threads without meeting, with at most `slots` origins told
    /// apart; and named by the hash of what it says.
    #[must_use]
    pub fn in_service(mut self, threads: usize, slots: usize) -> Self {
        self.hash = described::hash(&self).into();
        let order: Vec<&Arc<CorsPolicy>> =
            std::iter::once(&self.base).chain(self.overrides()).collect();
        let policies: Vec<&CorsPolicy> = order.iter().map(|policy| &***policy).collect();
        let tallies = Tally::of_listener(&policies, slots, threads);
        let mut by_name: HashMap<PolicyName, Arc<Tally>> =
            policies.iter().map(|policy| policy.spec().name.clone()).zip(tallies).collect();
        let models = self.models.values_mut();
        let routes = self.routes.iter_mut().map(|(_, policy)| policy);
        for policy in std::iter::once(&mut self.base).chain(models).chain(routes) {
            if let Some(tally) = by_name.remove(&policy.spec().name) {
                Arc::make_mut(policy).set_tally(tally);
            }
        }
        if let (Some(closed), Some(tally)) = (&mut self.closed, self.base.tally()) {
            Arc::make_mut(closed).set_tally(Arc::clone(tally));
        }
        self
    }

    /// The hash of what the policies say, as the counters name it; empty before they are put in
    /// service.
    pub fn hash(&self) -> &Arc<str> {
        &self.hash
    }

    /// The policy that is evaluated beside this one.
    pub fn candidate(&self) -> Option<&Arc<ListenerPolicy>> {
        self.candidate.as_ref()
    }

    /// Has another policy evaluated beside this one.
    pub fn set_candidate(&mut self, candidate: Option<Arc<ListenerPolicy>>) {
        self.candidate = candidate;
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
        if let Some(closed) = &self.closed
            && path::is_below_cors(facts.path)
        {
            return closed;
        }
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

impl ListenerPolicies {
    /// The policy of a listener, to be replaced.
    pub fn of_mut(&mut self, listener: Listener) -> &mut Arc<ListenerPolicy> {
        match listener {
            Listener::Inference => &mut self.inference,
            Listener::Management => &mut self.management,
            Listener::Metrics => &mut self.metrics,
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
