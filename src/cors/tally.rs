//! What was decided under the policies of a listener, counted beside them.
//!
//! The numbers belong to the policy in force: a request that is under way when another one takes its
//! place is still counted where it was decided. Each thread counts on cache lines of its own, at
//! places that were computed when the policy was put in service: counting takes no lock, no lookup
//! and no memory. Who reads the numbers takes them away.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    decision::{Decision, Kind, Reason},
    listener::Listener,
    origins::EntryIndex,
    policy::CorsPolicy,
};

/// The numbers of one policy.
#[derive(Debug)]
pub struct Tally {
    listener: Listener,
    label: Arc<str>,
    decisions: Box<[DecisionCounts]>,
    origins: Arc<OriginTally>,
    /// The slots of the first entries; the others share [`Slot::OTHER`].
    slots: Box<[Slot]>,
    /// For `*`.
    any: Option<Slot>,
    /// When each entry was last seen, in seconds of Unix time; 0 is never.
    seen: Box<[AtomicU32]>,
}

/// The numbers of all origins of a listener, by slot.
#[derive(Debug)]
pub struct OriginTally {
    /// What each slot is called: a configured entry, `_other` or `_unlisted`.
    labels: Vec<String>,
    counts: Box<[OriginCounts]>,
    seen: Box<[AtomicU32]>,
    /// Refusals by reason and slot, for logs that are sampled.
    refusals: Box<[AtomicU32]>,
}

/// A place among the origins that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

/// One thread's numbers, by kind and reason.
#[derive(Debug)]
#[repr(align(128))]
struct DecisionCounts([AtomicU64; KINDS * REASONS]);

/// One thread's numbers, preflights and other requests of each slot, in lines that no other thread's
/// numbers share.
#[derive(Debug)]
struct OriginCounts(Box<[OriginLine]>);

/// The numbers of some neighbouring slots.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OriginLine([[AtomicU64; 2]; SLOTS_OF_A_LINE]);

const SLOTS_OF_A_LINE: usize = 8;

const KINDS: usize = Kind::ALL.len();
const REASONS: usize = Reason::ALL.len();

// === impl Slot ===

impl Slot {
    /// Origins that no entry covers.
    pub const UNLISTED: Self = Self(0);
    /// Entries beyond those that are told apart.
    pub const OTHER: Self = Self(1);

    fn index(self) -> usize {
        usize::from(self.0)
    }
}

// === impl Tally ===

impl Tally {
    /// One for each of these policies of a listener, in their order. At most `slots` entries are told
    /// apart, those that stand first; `threads` count without meeting.
    pub fn of_listener(policies: &[&CorsPolicy], slots: usize, threads: usize) -> Vec<Arc<Self>> {
        let mut labels = vec!["_unlisted".to_owned(), "_other".to_owned()];
        let mut known: HashMap<String, Slot> = HashMap::new();
        let mut slot_of = |entry: &str| {
            if let Some(slot) = known.get(entry) {
                return Some(*slot);
            }
            if known.len() == slots {
                return None;
            }
            let slot = Slot(u16::try_from(labels.len()).ok()?);
            labels.push(entry.to_owned());
            known.insert(entry.to_owned(), slot);
            Some(slot)
        };
        let places: Vec<(Box<[Slot]>, Option<Slot>)> = policies
            .iter()
            .map(|policy| {
                let origins = policy.origins();
                let any = origins.is_any().then(|| slot_of("*").unwrap_or(Slot::OTHER));
                let entries = origins.entries().iter().take(slots);
                let places = entries.map(|entry| slot_of(entry.as_str()).unwrap_or(Slot::OTHER));
                (places.collect(), any)
            })
            .collect();
        let origins = Arc::new(OriginTally::new(labels, threads));
        policies
            .iter()
            .zip(places)
            .map(|(policy, (slots, any))| {
                Arc::new(Self {
                    listener: policy.listener(),
                    label: Arc::clone(policy.label()),
                    decisions: (0..threads.max(1)).map(|_| DecisionCounts::new()).collect(),
                    origins: Arc::clone(&origins),
                    slots,
                    any,
                    seen: zeros(policy.origins().entries().len()),
                })
            })
            .collect()
    }

    /// Whose policy it is.
    pub fn listener(&self) -> Listener {
        self.listener
    }

    /// The policy's label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The numbers of the listener's origins.
    pub fn origins(&self) -> &Arc<OriginTally> {
        &self.origins
    }

    /// Counts one decision. `now` is in seconds of Unix time. Returns the slot of the origin of a
    /// request that has one, where a policy looked at it.
    pub fn count(&self, thread: usize, decision: &Decision, now: u32) -> Option<Slot> {
        let shard = &self.decisions[thread % self.decisions.len()];
        shard.0[decision.kind as usize * REASONS + decision.reason as usize].fetch_add(1, Relaxed);
        let slot = self.slot(decision)?;
        let column = usize::from(decision.kind == Kind::Actual);
        let shard = &self.origins.counts[thread % self.origins.counts.len()];
        shard.of(slot)[column].fetch_add(1, Relaxed);
        see(&self.origins.seen[slot.index()], now);
        if let Some(seen) = decision.entry.and_then(|EntryIndex(at)| self.seen.get(at as usize)) {
            see(seen, now);
        }
        Some(slot)
    }

    fn slot(&self, decision: &Decision) -> Option<Slot> {
        if decision.kind == Kind::None || decision.reason == Reason::PolicyOff {
            return None;
        }
        Some(match (decision.entry, self.any) {
            (Some(EntryIndex(at)), _) => {
                self.slots.get(at as usize).copied().unwrap_or(Slot::OTHER)
            }
            (None, Some(any)) => any,
            (None, None) => Slot::UNLISTED,
        })
    }

    /// The slot under which an entry is counted.
    pub fn slot_of_entry(&self, EntryIndex(at): EntryIndex) -> Slot {
        self.slots.get(at as usize).copied().unwrap_or(Slot::OTHER)
    }

    /// When an entry was last seen, in seconds of Unix time.
    pub fn entry_seen(&self, EntryIndex(at): EntryIndex) -> Option<u32> {
        self.seen.get(at as usize).map(|seen| seen.load(Relaxed)).filter(|seen| *seen > 0)
    }

    /// Remembers when the entries were last seen that another policy has, too.
    pub fn remember(&self, own: &CorsPolicy, before: &CorsPolicy) {
        let Some(tally) = before.tally() else { return };
        for (entry, seen) in own.origins().entries().iter().zip(&self.seen) {
            let known = before.origins().index_of(entry).and_then(|at| tally.entry_seen(at));
            if let Some(known) = known {
                seen.store(known, Relaxed);
            }
        }
    }

    /// Takes the decisions since the last time: kind, reason and how many.
    pub fn take_decisions(&self, mut each: impl FnMut(Kind, Reason, u64)) {
        for kind in Kind::ALL {
            for reason in Reason::ALL {
                let at = kind as usize * REASONS + reason as usize;
                let taken = self.decisions.iter().map(|shard| take(&shard.0[at])).sum();
                if taken > 0 {
                    each(kind, reason, taken);
                }
            }
        }
    }
}

// === impl OriginTally ===

impl OriginTally {
    fn new(labels: Vec<String>, threads: usize) -> Self {
        let slots = labels.len();
        Self {
            counts: (0..threads.max(1)).map(|_| OriginCounts::new(slots)).collect(),
            seen: zeros(slots),
            refusals: zeros(slots * REASONS),
            labels,
        }
    }

    /// What a slot is called.
    pub fn label(&self, slot: Slot) -> &str {
        self.labels.get(slot.index()).map_or("_other", String::as_str)
    }

    /// All names, by slot.
    pub fn labels(&self) -> impl Iterator<Item = (Slot, &str)> {
        (0..).map(Slot).zip(self.labels.iter().map(String::as_str))
    }

    /// When a slot was last seen, in seconds of Unix time.
    pub fn seen(&self, slot: Slot) -> Option<u32> {
        self.seen.get(slot.index()).map(|seen| seen.load(Relaxed)).filter(|seen| *seen > 0)
    }

    /// Counts a refusal and says how many of its kind there were, this one included.
    pub fn count_refusal(&self, reason: Reason, slot: Slot) -> u32 {
        let at = slot.index() * REASONS + reason as usize;
        self.refusals.get(at).map_or(1, |count| count.fetch_add(1, Relaxed).wrapping_add(1))
    }

    /// Takes the requests since the last time: slot, kind and how many.
    pub fn take(&self, mut each: impl FnMut(Slot, Kind, u64)) {
        for (slot, _) in self.labels() {
            for (column, kind) in [(0, Kind::Preflight), (1, Kind::Actual)] {
                let shards = self.counts.iter();
                let taken = shards.map(|shard| take(&shard.of(slot)[column])).sum();
                if taken > 0 {
                    each(slot, kind, taken);
                }
            }
        }
    }
}

// === impl DecisionCounts ===

impl DecisionCounts {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

// === impl OriginCounts ===

impl OriginCounts {
    fn new(slots: usize) -> Self {
        Self((0..slots.div_ceil(SLOTS_OF_A_LINE)).map(|_| OriginLine::default()).collect())
    }

    /// Preflights and other requests of a slot.
    fn of(&self, slot: Slot) -> &[AtomicU64; 2] {
        &self.0[slot.index() / SLOTS_OF_A_LINE].0[slot.index() % SLOTS_OF_A_LINE]
    }
}

fn zeros(count: usize) -> Box<[AtomicU32]> {
    (0..count).map(|_| AtomicU32::new(0)).collect()
}

fn take(count: &AtomicU64) -> u64 {
    // Most are zero, and reading leaves the line with the thread that counts.
    if count.load(Relaxed) == 0 { 0 } else { count.swap(0, Relaxed) }
}

/// Written once a second at most: cores that only read do not wait for each other.
fn see(seen: &AtomicU32, now: u32) {
    if seen.load(Relaxed) != now {
        seen.store(now, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        settings::{ListenerFacts, Setting, compile},
        wire::{HeaderValue, Method, header},
    };
    use super::*;
    use crate::cors::{ListenerPolicy, RequestSketch};

    fn listener(value: &str, slots: usize) -> ListenerPolicy {
        let lines = [
            Setting::in_file("cors.allowed.origin", value, "f", 1),
            Setting::in_file("cors.model.m.allowed.origin", "https://m.example", "f", 2),
        ];
        let compiled = compile(&lines, &ListenerFacts::default());
        let policies = compiled.policies.expect("sound");
        Arc::unwrap_or_clone(policies.inference).in_service(2, slots)
    }

    fn count(listener: &ListenerPolicy, path: &str, origin: &str, thread: usize, now: u32) {
        let request = RequestSketch::new(Method::GET, path)
            .header(header::ORIGIN, HeaderValue::from_str(origin).expect("sound"));
        let (policy, decision) = listener.decide(&request.facts());
        policy.tally().expect("in service").count(thread, &decision, now);
    }

    #[test]
    fn the_first_entries_have_slots_and_the_others_share_one() {
        let listener = listener("https://a.example, https://b.example, https://c.example", 3);
        let tally = listener.base().tally().expect("in service");
        let labels: Vec<&str> = tally.origins().labels().map(|(_, label)| label).collect();
        let entries = ["https://a.example", "https://b.example", "https://c.example"];
        assert_eq!(labels, [&["_unlisted", "_other"], &entries[..]].concat());
        for (thread, origin) in entries.iter().chain(&["https://x.example", "null"]).enumerate() {
            count(&listener, "/ping", origin, thread, 7);
        }
        // No slot is left for the origin of the override.
        count(&listener, "/predictions/m", "https://m.example", 0, 9);
        let mut taken = Vec::new();
        tally.origins().take(|slot, kind, n| {
            assert_eq!(kind, Kind::Actual);
            taken.push((tally.origins().label(slot).to_owned(), n));
        });
        let expected = [("_unlisted", 2), ("_other", 1)].into_iter();
        let expected = expected.chain(entries.map(|entry| (entry, 1)));
        assert_eq!(taken, expected.map(|(s, n)| (s.to_owned(), n)).collect::<Vec<_>>());
        assert_eq!(tally.entry_seen(EntryIndex(1)), Some(7));
        let model = listener.select(Some("m"), "/predictions/m").tally().expect("in service");
        assert_eq!((model.label(), model.entry_seen(EntryIndex(0))), ("model:m", Some(9)));
    }

    #[test]
    fn numbers_of_all_threads_are_added_and_taken_once() {
        let listener = listener("https://a.example", 50);
        for thread in 0..5 {
            count(&listener, "/ping", "https://a.example", thread, 1);
        }
        let tally = listener.base().tally().expect("in service");
        let mut taken = Vec::new();
        tally.take_decisions(|kind, reason, n| taken.push((kind, reason, n)));
        assert_eq!(taken, [(Kind::Actual, Reason::Ok, 5)]);
        tally.take_decisions(|_, _, _| panic!("taken twice"));
    }
}
