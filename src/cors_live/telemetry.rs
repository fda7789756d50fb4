//! All threads' numbers, added up when somebody asks for them.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::denials::Denials;
use super::exposure::WATCHED;
use super::families::{Durations, Families, OUTCOMES};
use super::observer::ThreadObserver;
use super::thread_counts::{CLASSES, DIRECTIONS, ThreadCounts, take};
use crate::cors::{
    CorsObserver, CorsPolicy, Kind, Listener, ListenerPolicy, Mode, Reason, Tally, Verdict,
};
use crate::metrics::{Metrics, MetricsError};

/// Everything that is counted about CORS.
pub struct Telemetry {
    pub(super) families: Families,
    threads: Mutex<Vec<Arc<ThreadCounts>>>,
    next_thread: AtomicUsize,
    gathered: Mutex<Gathered>,
    canary: Arc<str>,
}

/// What was added up so far, and where from.
#[derive(Default)]
struct Gathered {
    /// The numbers of policies in force, and of those that some request may still be under.
    tallies: Vec<Arc<Tally>>,
    preflights: [Durations; 3],
}

/// What the registry asks at a scrape.
struct Scrape(Arc<Telemetry>);

// === impl Telemetry ===

impl Telemetry {
    /// Registers the families.
    ///
    /// # Errors
    /// [`MetricsError::Family`] when these metrics have them already.
    pub(super) fn register(metrics: &Metrics) -> Result<Arc<Self>, MetricsError> {
        let telemetry = Arc::new(Self {
            families: Families::new()?,
            threads: Mutex::default(),
            next_thread: AtomicUsize::new(0),
            gathered: Mutex::default(),
            // Nobody can register a name below `.invalid`.
            canary: format!("https://canary-{:016x}.invalid", fastrand::u64(..)).into(),
        });
        metrics.add(Box::new(Scrape(Arc::clone(&telemetry))))?;
        Ok(telemetry)
    }

    /// An observer for the calling thread.
    pub(super) fn observer(&self) -> Arc<dyn CorsObserver> {
        let counts = Arc::<ThreadCounts>::default();
        lock(&self.threads).push(Arc::clone(&counts));
        let number = self.next_thread.fetch_add(1, Relaxed);
        Arc::new(ThreadObserver::new(number, counts, Arc::clone(&self.canary)))
    }

    /// An origin that nobody has and no list covers, for our own checks.
    pub fn canary(&self) -> &str {
        &self.canary
    }

    /// The refusals that are the most frequent.
    pub fn denials(&self) -> Denials {
        let threads: Vec<Arc<ThreadCounts>> = lock(&self.threads).clone();
        // One sketch after the other: a thread whose sketch is read loses a refusal at most.
        let copies = threads.iter().filter_map(|thread| {
            thread.with_denials(|sketch| sketch.map(|sketch| sketch.denials().collect()))
        });
        Denials::merged(copies)
    }

    /// How many requests each origin's slot has had since the start, by kind.
    pub fn origin_requests(&self, listener: Listener, origin: &str, kind: Kind) -> u64 {
        let labels = [listener.as_str(), origin, kind.as_str()];
        self.families.origin_requests.get_metric_with_label_values(&labels).map_or(0, |n| n.get())
    }

    /// The decisions under these policies are counted from now on.
    pub(super) fn watch(&self, listener: &ListenerPolicy) {
        let policies = || std::iter::once(listener.base()).chain(listener.overrides());
        lock(&self.gathered)
            .tallies
            .extend(policies().filter_map(|policy| policy.tally().cloned()));
        for policy in policies() {
            self.begin(policy);
        }
        self.describe(listener);
        if let Some(tally) = listener.base().tally() {
            let name = listener.base().listener().as_str();
            for (_, origin) in tally.origins().labels() {
                for kind in [Kind::Preflight, Kind::Actual] {
                    self.families.origin_requests.with_label_values(&[name, origin, kind.as_str()]);
                }
            }
        }
    }

    /// Pages of these origins may report: their first report is an increase, too.
    pub(super) fn begin_reports(&self, listener: &ListenerPolicy) {
        let Some(tally) = listener.base().tally() else { return };
        for (_, origin) in tally.origins().labels() {
            for outcome in OUTCOMES {
                self.families.client_events.with_label_values(&[outcome, origin]);
            }
        }
    }

    /// The usual decisions are there from the first scrape on.
    fn begin(&self, policy: &CorsPolicy) {
        if !policy.is_on() && !policy.is_shadow() {
            return;
        }
        let refused = match policy.is_shadow() {
            true => &[Reason::ShadowDenied][..],
            false => {
                &[Reason::OriginNotListed, Reason::MethodNotListed, Reason::HeadersNotListed][..]
            }
        };
        for kind in [Kind::Preflight, Kind::Actual] {
            for reason in refused.iter().chain(&[Reason::Ok]) {
                self.decisions(policy.listener(), policy.label(), kind, *reason, 0);
            }
        }
    }

    fn decisions(&self, listener: Listener, policy: &str, kind: Kind, reason: Reason, n: u64) {
        let decision = reason.verdict().as_str();
        let labels = [listener.as_str(), policy, kind.as_str(), decision, reason.as_str()];
        self.families.decisions.with_label_values(&labels).inc_by(n);
    }

    /// The policies' numbers that are still being counted: for gauges of what is in force.
    pub(super) fn families(&self) -> &Families {
        &self.families
    }

    /// Adds what the threads have counted since the last time.
    pub fn gather(&self) {
        let mut gathered = lock(&self.gathered);
        self.gather_threads(&mut gathered.preflights);
        let mut gone = Vec::new();
        gathered.tallies.retain(|tally| {
            // Nobody can count in it any more: it is read for the last time.
            let last = Arc::strong_count(tally) == 1;
            self.gather_policy(tally);
            if last {
                gone.push(Arc::clone(tally));
            }
            !last
        });
        self.forget(&gone, &gathered.tallies);
    }

    fn gather_threads(&self, preflights: &mut [Durations; 3]) {
        let families = &self.families;
        lock(&self.threads).retain(|thread| {
            // A thread that has ended counts no more. Its refusals go with it.
            let alive = Arc::strong_count(thread) > 1;
            for (listener, durations) in Listener::ALL.into_iter().zip(&mut *preflights) {
                let (counts, name) = (thread.of(listener), listener.as_str());
                for verdict in Verdict::ALL {
                    for (at, class) in CLASSES.iter().enumerate() {
                        let labels = [name, verdict.as_str(), class];
                        let responses = take(&counts.responses[verdict as usize][at]);
                        if responses > 0 {
                            families.responses.with_label_values(&labels).inc_by(responses);
                        }
                        let credentialed = take(&counts.credentialed[verdict as usize][at]);
                        if credentialed > 0 {
                            families.credentialed.with_label_values(&labels).inc_by(credentialed);
                        }
                    }
                }
                for (count, taken) in durations.counts.iter_mut().zip(&counts.preflights) {
                    *count += take(taken);
                }
                durations.nanoseconds += take(&counts.nanoseconds);
                for (header, count) in WATCHED.iter().zip(&counts.unexposed) {
                    families.unexposed.with_label_values(&[name, header]).inc_by(take(count));
                }
                families.stripped.with_label_values(&[name]).inc_by(take(&counts.stripped));
                for (direction, count) in DIRECTIONS.iter().zip(&counts.shadow) {
                    families.shadow.with_label_values(&[name, direction]).inc_by(take(count));
                }
            }
            alive
        });
    }

    fn gather_policy(&self, tally: &Tally) {
        let listener = tally.listener();
        tally.take_decisions(|kind, reason, n| {
            self.decisions(listener, tally.label(), kind, reason, n);
        });
        let origins = tally.origins();
        origins.take(|slot, kind, n| {
            let labels = [listener.as_str(), origins.label(slot), kind.as_str()];
            self.families.origin_requests.with_label_values(&labels).inc_by(n);
        });
        for (slot, label) in origins.labels() {
            if let Some(seen) = origins.seen(slot) {
                let labels = [listener.as_str(), label];
                let gauge = self.families.origin_seen.with_label_values(&labels);
                gauge.set(gauge.get().max(i64::from(seen)));
            }
        }
    }

    /// Series whose policy or origin is in no configuration any more go, so that their number stays
    /// bounded by the configuration.
    fn forget(&self, gone: &[Arc<Tally>], left: &[Arc<Tally>]) {
        let families = &self.families;
        let mut policies: HashSet<(Listener, &str)> = HashSet::new();
        let mut origins: BTreeSet<(&str, &str)> = BTreeSet::new();
        for tally in left {
            policies.insert((tally.listener(), tally.label()));
            let labels = tally.origins().labels();
            origins.extend(labels.map(|(_, origin)| (tally.listener().as_str(), origin)));
        }
        for tally in gone {
            let listener = tally.listener().as_str();
            for (_, origin) in tally.origins().labels() {
                if !origins.contains(&(listener, origin)) {
                    let _seen = families.origin_seen.remove_label_values(&[listener, origin]);
                    for kind in [Kind::Preflight, Kind::Actual] {
                        let labels = [listener, origin, kind.as_str()];
                        let _none = families.origin_requests.remove_label_values(&labels);
                    }
                    if tally.listener() == Listener::Inference {
                        for outcome in OUTCOMES {
                            let labels = [outcome, origin];
                            let _none = families.client_events.remove_label_values(&labels);
                        }
                    }
                }
            }
            if policies.contains(&(tally.listener(), tally.label())) {
                continue;
            }
            let labels = [listener, tally.label()];
            let _none = families.policy_wildcard.remove_label_values(&labels);
            let _none = families.policy_credentials.remove_label_values(&labels);
            for kind in Kind::ALL {
                for reason in Reason::ALL {
                    let (decision, reason) = (reason.verdict().as_str(), reason.as_str());
                    let labels = [listener, tally.label(), kind.as_str(), decision, reason];
                    let _none = families.decisions.remove_label_values(&labels);
                }
            }
        }
    }
}

/// The word of the label `mode`.
pub(super) fn mode_text(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
        Mode::Off => "off",
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No statement that holds one leaves half a change behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Collector for Scrape {
    fn desc(&self) -> Vec<&Desc> {
        self.0.families.describe()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.gather();
        let preflights = lock(&self.0.gathered).preflights;
        self.0.families.collect(preflights)
    }
}
