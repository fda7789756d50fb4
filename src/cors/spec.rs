//! What a policy says, before it is known whether it holds together.
//!
//! Filled by `settings` or by an embedding program; [`CorsPolicy::try_new`](super::CorsPolicy)
//! refuses the combinations that browsers refuse or that would expose users. Every value is sound
//! by itself.

use std::sync::Arc;

use serde::Serialize;

use super::{
    diagnostic::Finding,
    exposed::ExposedHeaders,
    headers::AllowedHeaders,
    hosts::HostList,
    listener::{Listener, PolicyName},
    methods::AllowedMethods,
    origins::AllowedOrigins,
    pattern::OriginPattern,
    wire::HeaderValue,
};

/// Everything that a policy says, each value sound by itself. Starts with the defaults of a
/// listener: no origin is allowed.
#[derive(Clone, Debug)]
pub struct PolicySpec {
    /// Whose policy it is; gives the defaults.
    pub listener: Listener,
    /// Which part of the listener it is for.
    pub name: PolicyName,
    /// Who may read.
    pub origins: AllowedOrigins,
    /// With which methods.
    pub methods: AllowedMethods,
    /// Setting which request headers.
    pub headers: AllowedHeaders,
    /// Reading which response headers.
    pub exposed: ExposedHeaders,
    /// With cookies, HTTP authentication and client certificates.
    pub credentials: bool,
    /// How long browsers may remember a preflight, in seconds; 0: not at all.
    pub max_age: u32,
    /// Which requests of foreign pages are refused.
    pub block: Block,
    /// Answers the preflights of Private Network Access.
    pub private_network: bool,
    /// Allowed pages see the timings of the answer (`Timing-Allow-Origin`).
    pub timing: bool,
    /// 204, or 200 for old user agents.
    pub preflight_status: PreflightStatus,
    /// `Cache-Control` on preflights, for edges that cache OPTIONS.
    pub preflight_cache_control: Option<HeaderValue>,
    /// Whether headers are sent and preflights answered.
    pub mode: Mode,
    /// Refused methods and headers are answered so that the browser names the reason.
    pub debug: bool,
    /// Who decides: the core, or actix-cors for comparison.
    pub engine: Engine,
    /// Which decisions are logged.
    pub log: DecisionLog,
    /// The listener speaks TLS itself: a page of `http://` is not its own, whatever its host.
    pub https: bool,
    /// Without a list, only names of this machine are answered for.
    pub guarded_hosts: bool,
    /// Hosts whose pages are our own.
    pub same_origin_hosts: Arc<HostList>,
    /// The only hosts that requests may name; empty: any.
    pub allowed_hosts: Arc<HostList>,
    /// Dangers that the operator has taken note of.
    pub accepted: Accepted,
}

/// Dangerous settings that have to be acknowledged one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// `http://` origins together with credentials.
    pub insecure_origins: bool,
    /// `*.` over a public suffix together with credentials.
    pub public_suffix_wildcards: bool,
    /// `*` on the management listener.
    pub any_origin: bool,
}

/// Which requests of foreign pages are refused on the server (B30).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Block {
    /// None: the browser keeps the answer from the page, the request is served.
    Off,
    /// Those with a method other than GET, HEAD and OPTIONS.
    Unsafe,
    /// All.
    All,
}

/// Whether the policy is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is.
    Enforce,
    /// Decisions are counted, nothing else is done; [`Block`] still works.
    Shadow,
    /// No header is sent, preflights go to the router; [`Block`] still works.
    Off,
}

/// The status of a granted preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum PreflightStatus {
    /// 204.
    #[serde(rename = "204")]
    NoContent,
    /// 200 with an empty body.
    #[serde(rename = "200")]
    Ok,
}

/// Who decides on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// This room.
    Native,
    /// actix-cors, to compare or to reproduce a report.
    Actix,
}

/// Which decisions get a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionLog {
    /// None.
    Off,
    /// Denied and blocked ones.
    Denied,
    /// All.
    All,
}

/// A property of a policy, for messages that name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Property {
    /// `allowed.origin`
    Origins,
    /// `allowed.methods`
    Methods,
    /// `allowed.headers`
    Headers,
    /// `exposed.headers`
    Exposed,
    /// `allow.credentials`
    Credentials,
    /// `allow.private.network`
    PrivateNetwork,
    /// `engine`
    Engine,
}

/// Two properties that do not go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Where it is reported.
    pub property: Property,
    /// The other side.
    pub with: Option<Property>,
    /// What is wrong.
    pub finding: Finding,
}

/// Browsers remember a preflight for this long unless told otherwise: long enough to halve the
/// requests of a busy page, short enough that a tightened policy works within ten minutes.
pub const DEFAULT_MAX_AGE: u32 = 600;
/// Firefox's cap; other browsers cut earlier.
pub const MAX_MAX_AGE: u32 = 86_400;

// === impl PolicySpec ===

impl PolicySpec {
    /// The defaults of a listener. Management is stricter: reading only, and foreign pages cannot
    /// write even when CORS is off (B30, B35).
    pub fn new(listener: Listener) -> Self {
        let (methods, block): (&[&str], _) = match listener {
            Listener::Inference => (&["GET", "POST", "OPTIONS"], Block::Off),
            Listener::Management => (&["GET", "OPTIONS"], Block::Unsafe),
            Listener::Metrics => (&["GET"], Block::Off),
        };
        Self {
            listener,
            name: PolicyName::Listener,
            origins: AllowedOrigins::None,
            methods: AllowedMethods::of(methods),
            headers: AllowedHeaders::default(),
            exposed: ExposedHeaders::default(),
            credentials: false,
            max_age: DEFAULT_MAX_AGE,
            block,
            private_network: false,
            timing: false,
            preflight_status: PreflightStatus::NoContent,
            preflight_cache_control: None,
            mode: Mode::Enforce,
            debug: false,
            engine: Engine::Native,
            log: DecisionLog::Denied,
            https: false,
            guarded_hosts: false,
            same_origin_hosts: Arc::default(),
            allowed_hosts: Arc::default(),
            accepted: Accepted::default(),
        }
    }

    pub(super) fn conflicts(&self) -> Vec<Conflict> {
        let mut found = Vec::new();
        let mut refuse = |property, with, finding| found.push(Conflict { property, with, finding });
        let any = matches!(self.origins, AllowedOrigins::Any);
        if any && self.credentials {
            refuse(
                Property::Origins,
                Some(Property::Credentials),
                Finding::new(
                    "CORS-E010",
                    "any origin (`*`) can't be combined with credentials: browsers refuse it and \
                     reflecting the origin instead would expose users to every site",
                )
                .fix("list the origins"),
            );
        }
        if self.credentials {
            for pattern in self.origins.patterns() {
                self.credentials_conflicts(pattern, &mut refuse);
            }
            self.credentials_wildcards(&mut refuse);
        }
        if any && self.listener == Listener::Management && !self.accepted.any_origin {
            refuse(
                Property::Origins,
                None,
                Finding::new(
                    "CORS-E080",
                    "the management API loads code: with `*` every web page that an operator \
                     visits could read it",
                )
                .fix("list the origins, or set `management_cors.allow.any.origin=true` to accept"),
            );
        }
        if any && self.private_network {
            refuse(
                Property::PrivateNetwork,
                Some(Property::Origins),
                Finding::new(
                    "CORS-E081",
                    "any origin (`*`) can't be combined with private network access: every public \
                     site could reach this server through its visitors",
                )
                .fix("list the origins"),
            );
        }
        if self.engine == Engine::Actix {
            self.beyond_actix(&mut refuse);
        }
        found
    }

    /// What actix-cors would leave out silently, and what it would allow beyond the policy
    /// (CORS-E096). Where only the shape of its answers differs, a warning is enough.
    fn beyond_actix(&self, refuse: &mut impl FnMut(Property, Option<Property>, Finding)) {
        let header = self.headers.is_any() && !self.headers.allows(b"authorization");
        let overridden = self.name != PolicyName::Listener;
        let private_network = Some(Property::PrivateNetwork);
        for (beyond, with, what) in [
            (overridden, None, "applies no policy of a model or a route"),
            (self.block != Block::Off, None, "refuses no request (`block.disallowed`)"),
            (!self.allowed_hosts.is_empty(), None, "does not look at `Host` (`allowed.hosts`)"),
            (header, Some(Property::Headers), "lets `*` cover `Authorization`"),
            (self.private_network, private_network, "does not answer private network requests"),
            (
                self.preflight_cache_control.is_some(),
                None,
                "sends no `Cache-Control` on preflights",
            ),
            (self.timing, None, "sends no `Timing-Allow-Origin` (`allow.timing`)"),
            (self.debug, None, "gives no reason (`debug`)"),
        ] {
            if beyond {
                let finding = Finding::new("CORS-E096", format!("the engine `actix` {what}"));
                refuse(Property::Engine, with, finding.fix("remove that, or use `native`"));
            }
        }
    }

    fn credentials_conflicts(
        &self,
        pattern: &OriginPattern,
        refuse: &mut impl FnMut(Property, Option<Property>, Finding),
    ) {
        let credentials = Some(Property::Credentials);
        let prefix = self.listener.prefix();
        if let Some(suffix) = pattern.public_suffix()
            && !self.accepted.public_suffix_wildcards
        {
            refuse(
                Property::Origins,
                credentials,
                Finding::new(
                    "CORS-E023",
                    format!("`{pattern}` with credentials: anyone can register under `{suffix}`"),
                )
                .fix(format!(
                    "name your own domain, or set \
                     `{prefix}.allow.public.suffix.wildcards=true` to accept"
                )),
            );
        }
        if pattern.is_forgeable() && !self.accepted.insecure_origins {
            refuse(
                Property::Origins,
                credentials,
                Finding::new(
                    "CORS-E024",
                    format!("`{pattern}` with credentials can be forged by a network attacker"),
                )
                .fix(format!("use https, or set `{prefix}.allow.insecure.origins=true` to accept")),
            );
        }
    }

    fn credentials_wildcards(&self, refuse: &mut impl FnMut(Property, Option<Property>, Finding)) {
        let wildcards = [
            (self.methods.is_any(), Property::Methods, "CORS-E033", "methods"),
            (self.headers.is_any(), Property::Headers, "CORS-E043", "headers"),
            (self.exposed.is_any(), Property::Exposed, "CORS-E052", "headers"),
        ];
        for (any, property, code, what) in wildcards {
            if any {
                refuse(
                    property,
                    Some(Property::Credentials),
                    Finding::new(code, "with credentials browsers take `*` literally")
                        .fix(format!("list the {what}")),
                );
            }
        }
    }
}
