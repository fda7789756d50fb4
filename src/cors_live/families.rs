//! The names of the metrics, their labels and what they mean. Dashboards and rules are written
//! against them: a name that is here once stays.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use super::exposure::WATCHED;
use super::thread_counts::{BOUNDS, DIRECTIONS};
use crate::cors::Listener;
use crate::metrics::MetricsError;

/// The families of CORS.
pub(super) struct Families {
    pub(super) decisions: IntCounterVec,
    pub(super) responses: IntCounterVec,
    pub(super) credentialed: IntCounterVec,
    pub(super) origin_requests: IntCounterVec,
    pub(super) origin_seen: IntGaugeVec,
    pub(super) unexposed: IntCounterVec,
    pub(super) stripped: IntCounterVec,
    pub(super) client_events: IntCounterVec,
    pub(super) client_rejected: IntCounterVec,
    pub(super) policy_info: IntGaugeVec,
    pub(super) policy_wildcard: IntGaugeVec,
    pub(super) policy_credentials: IntGaugeVec,
    pub(super) policy_origins: IntGaugeVec,
    pub(super) policy_warnings: IntGaugeVec,
    pub(super) policy_changes: IntCounterVec,
    pub(super) policy_rollbacks: IntCounterVec,
    pub(super) policy_last_change: IntGaugeVec,
    pub(super) shadow: IntCounterVec,
    pub(super) probe_checks: IntCounterVec,
    pub(super) probe_last_success: IntGaugeVec,
    preflights: Desc,
}

/// A histogram of one listener, added up.
#[derive(Clone, Copy, Default)]
pub(super) struct Durations {
    /// By bound, the last is longer than all of them; not cumulative.
    pub(super) counts: [u64; BOUNDS.len() + 1],
    pub(super) nanoseconds: u64,
}

/// What a browser reports.
pub(super) const OUTCOMES: [&str; 6] =
    ["ok", "blocked", "preflight_blocked", "missing_header", "credentials", "network"];
/// Why a report is not counted.
pub(super) const REJECTIONS: [&str; 4] = ["rate", "size", "syntax", "disabled"];
/// What changes a policy.
pub(super) const TRIGGERS: [&str; 4] = ["start", "signal", "file", "api"];
/// What comes of it.
pub(super) const RESULTS: [&str; 3] = ["applied", "unchanged", "rejected"];

const DURATION: (&str, &str) =
    ("ts_cors_preflight_duration_seconds", "From a preflight's arrival at the gate to its answer");

// === impl Families ===

impl Families {
    pub(super) fn new() -> Result<Self, MetricsError> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(format!("ts_cors_{name}"), help), labels)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(format!("ts_cors_{name}"), help), labels)
        };
        let (name, help) = DURATION;
        let families = Self {
            decisions: counter(
                "decisions_total",
                "Requests by what CORS decided and why",
                &["listener", "policy", "kind", "decision", "reason"],
            )?,
            responses: counter(
                "responses_total",
                "Answers to requests that are no preflight, by decision and status class",
                &["listener", "decision", "class"],
            )?,
            credentialed: counter(
                "credentialed_requests_total",
                "Cross-origin requests with a cookie or an authorization, by decision and status \
                 class",
                &["listener", "decision", "class"],
            )?,
            origin_requests: counter(
                "origin_requests_total",
                "Cross-origin requests by the configured entry that covers their origin",
                &["listener", "origin", "kind"],
            )?,
            origin_seen: gauge(
                "origin_last_seen_timestamp_seconds",
                "When an origin of a configured entry was last seen",
                &["listener", "origin"],
            )?,
            unexposed: counter(
                "unexposed_header_total",
                "Headers sent to pages of allowed origins that cannot read them",
                &["listener", "header"],
            )?,
            stripped: counter(
                "upstream_headers_stripped_total",
                "Answers from which a CORS header of a handler was removed",
                &["listener"],
            )?,
            client_events: counter(
                "client_events_total",
                "Requests of pages by what became of them in the browser, from the beacon; \
                 client-supplied and forgeable",
                &["outcome", "origin"],
            )?,
            client_rejected: counter(
                "client_reports_rejected_total",
                "Reports of the beacon that were not counted",
                &["reason"],
            )?,
            policy_info: gauge(
                "policy_info",
                "The policies in force: the hash of what they say",
                &["listener", "hash", "mode"],
            )?,
            policy_wildcard: gauge(
                "policy_wildcard",
                "1 where any origin is allowed",
                &["listener", "policy"],
            )?,
            policy_credentials: gauge(
                "policy_credentials",
                "1 where cookies and HTTP authentication are allowed",
                &["listener", "policy"],
            )?,
            policy_origins: gauge(
                "policy_origins",
                "Entries of the allow-list in force, exact ones and patterns, and how many entries \
                 its file has",
                &["listener", "type"],
            )?,
            policy_warnings: gauge(
                "policy_warnings",
                "Warnings about the policies in force",
                &["listener"],
            )?,
            policy_changes: counter(
                "policy_changes_total",
                "Changes of the policies by what asked for them and what came of it",
                &["listener", "trigger", "result"],
            )?,
            policy_rollbacks: counter(
                "policy_rollbacks_total",
                "Changes to one of the 16 policies before",
                &["listener"],
            )?,
            policy_last_change: gauge(
                "policy_last_change_timestamp_seconds",
                "When the policies in force were put in force",
                &["listener"],
            )?,
            shadow: counter(
                "shadow_disagreements_total",
                "Requests that the shadow policy would decide otherwise",
                &["listener", "direction"],
            )?,
            probe_checks: counter(
                "probe_checks_total",
                "Synthetic checks by flow and result",
                &["flow", "result"],
            )?,
            probe_last_success: gauge(
                "probe_last_success_timestamp_seconds",
                "When all synthetic checks of a flow last passed",
                &["flow"],
            )?,
            preflights: Desc::new(
                name.to_owned(),
                help.to_owned(),
                vec!["listener".to_owned()],
                Default::default(),
            )?,
        };
        families.begin();
        Ok(families)
    }

    /// The families are there from the first scrape on, so that a first event is an increase.
    fn begin(&self) {
        for listener in Listener::ALL.map(Listener::as_str) {
            for decision in ["allowed", "denied"] {
                for class in ["2xx", "4xx", "5xx"] {
                    self.responses.with_label_values(&[listener, decision, class]);
                    self.credentialed.with_label_values(&[listener, decision, class]);
                }
            }
            self.stripped.with_label_values(&[listener]);
            self.policy_rollbacks.with_label_values(&[listener]);
            for direction in DIRECTIONS {
                self.shadow.with_label_values(&[listener, direction]);
            }
            for trigger in TRIGGERS {
                for result in RESULTS {
                    self.policy_changes.with_label_values(&[listener, trigger, result]);
                }
            }
            for header in WATCHED {
                self.unexposed.with_label_values(&[listener, header]);
            }
        }
        for reason in REJECTIONS {
            self.client_rejected.with_label_values(&[reason]);
        }
        for outcome in OUTCOMES {
            self.client_events.with_label_values(&[outcome, "_unlisted"]);
        }
        for result in ["pass", "fail"] {
            self.probe_checks.with_label_values(&["self", result]);
        }
    }

    fn counters(&self) -> [&IntCounterVec; 12] {
        [
            &self.decisions,
            &self.responses,
            &self.credentialed,
            &self.origin_requests,
            &self.unexposed,
            &self.stripped,
            &self.client_events,
            &self.client_rejected,
            &self.policy_changes,
            &self.policy_rollbacks,
            &self.shadow,
            &self.probe_checks,
        ]
    }

    fn gauges(&self) -> [&IntGaugeVec; 8] {
        [
            &self.origin_seen,
            &self.policy_info,
            &self.policy_wildcard,
            &self.policy_credentials,
            &self.policy_origins,
            &self.policy_warnings,
            &self.policy_last_change,
            &self.probe_last_success,
        ]
    }

    pub(super) fn describe(&self) -> Vec<&Desc> {
        let counters = self.counters().into_iter().flat_map(Collector::desc);
        let gauges = self.gauges().into_iter().flat_map(Collector::desc);
        counters.chain(gauges).chain([&self.preflights]).collect()
    }

    pub(super) fn collect(&self, preflights: [Durations; 3]) -> Vec<MetricFamily> {
        let counters = self.counters().into_iter().flat_map(Collector::collect);
        let gauges = self.gauges().into_iter().flat_map(Collector::collect);
        counters.chain(gauges).chain([histogram(preflights)]).collect()
    }
}

fn histogram(preflights: [Durations; 3]) -> MetricFamily {
    let (name, help) = DURATION;
    let metrics = Listener::ALL.into_iter().zip(preflights).map(|(listener, durations)| {
        let mut label = LabelPair::default();
        label.set_name("listener".to_owned());
        label.set_value(listener.as_str().to_owned());
        let mut histogram = Histogram::default();
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (bound, count) in BOUNDS.iter().zip(durations.counts) {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1e9);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(durations.counts.iter().sum());
        histogram.set_sample_sum(durations.nanoseconds as f64 / 1e9);
        let mut metric = Metric::default();
        metric.set_label(vec![label]);
        metric.set_histogram(histogram);
        metric
    });
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::HISTOGRAM);
    family.set_metric(metrics.collect());
    family
}
