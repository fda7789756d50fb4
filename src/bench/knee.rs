//! The knee: the highest rate that a server still serves well. The search is pure.
//!
//! The rate is doubled until a step fails, then the gap is halved (geometrically) until it is narrow.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Report;
use super::report::figure;

/// Where the search stands.
#[derive(Clone, Copy, Debug)]
pub struct KneeSearch {
    first: f64,
    /// The highest rate that was served well.
    passed: Option<f64>,
    /// The lowest that was not.
    failed: Option<f64>,
    steps: usize,
}

/// Whether a step was served well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was.
    Passed,
    /// The 99th percentile is above the objective.
    TooSlow,
    /// Less than 99 % were answered as expected.
    TooFewOk,
}

/// One step of a search.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What was offered, a second.
    pub rate: f64,
    /// Whether that was served well.
    pub verdict: Verdict,
    /// All figures of the step.
    pub report: Report,
}

/// What a search found.
#[derive(Clone, Debug, Serialize)]
pub struct Knee {
    /// The highest rate that was served well, a second; `None` when not even the lowest one was.
    pub knee: Option<f64>,
    /// Whether a higher rate failed; otherwise the knee is only the highest rate that was tried.
    pub bounded: bool,
    /// The objective for the 99th percentile, in milliseconds.
    pub slo_ms: f64,
    /// In the order in which they were made.
    pub steps: Vec<Step>,
}

/// The share of ok answers that a step needs.
const GOODPUT: f64 = 0.99;
/// A gap as narrow as this is not worth another step.
const NARROW: f64 = 1.05;
/// Ends a search that finds no end.
const MOST_STEPS: usize = 40;
/// More than one machine offers.
const HIGHEST: f64 = 2_000_000.0;
/// Of no interest below, in requests a second.
const LOWEST: f64 = 0.5;

// === impl KneeSearch ===

impl KneeSearch {
    /// Begins at `first` requests a second.
    pub fn new(first: f64) -> KneeSearch {
        KneeSearch { first, passed: None, failed: None, steps: 0 }
    }

    /// The next rate to try, or `None` when the knee is known as well as it can be.
    pub fn next_rate(&self) -> Option<f64> {
        if self.steps >= MOST_STEPS {
            return None;
        }
        match (self.passed, self.failed) {
            (None, None) => Some(self.first),
            (Some(passed), None) => Some(passed * 2.0).filter(|rate| *rate <= HIGHEST),
            (None, Some(failed)) => Some(failed / 2.0).filter(|rate| *rate >= LOWEST),
            (Some(passed), Some(failed)) => {
                (failed / passed > NARROW).then(|| (passed * failed).sqrt())
            }
        }
    }

    /// Takes a step's verdict in.
    pub fn tried(&mut self, rate: f64, verdict: Verdict) {
        self.steps += 1;
        match verdict {
            Verdict::Passed => self.passed = Some(self.passed.map_or(rate, |best| best.max(rate))),
            Verdict::TooSlow | Verdict::TooFewOk => {
                self.failed = Some(self.failed.map_or(rate, |worst| worst.min(rate)));
            }
        }
    }

    /// What was found, with the steps that led to it.
    pub fn finish(self, slo: Duration, steps: Vec<Step>) -> Knee {
        let slo_ms = slo.as_secs_f64() * 1000.0;
        Knee { knee: self.passed, bounded: self.failed.is_some(), slo_ms, steps }
    }
}

// === impl Verdict ===

impl Verdict {
    /// Judges a step by its objective.
    pub fn of(report: &Report, slo: Duration) -> Verdict {
        let too_slow =
            report.latency_ms.is_none_or(|latency| latency.p99 > slo.as_secs_f64() * 1000.0);
        if report.goodput < GOODPUT {
            Verdict::TooFewOk
        } else if too_slow {
            Verdict::TooSlow
        } else {
            Verdict::Passed
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Passed => "served well",
            Verdict::TooSlow => "p99 too high",
            Verdict::TooFewOk => "too few ok",
        })
    }
}

// === impl Step ===

impl Step {
    /// Whether the step failed because requests were sent too late, rather than answered too late.
    fn is_the_generators(&self, slo_ms: f64) -> bool {
        let late = self.report.generator.late_ms;
        self.verdict == Verdict::TooSlow && late.is_some_and(|late| late.p99 * 2.0 >= slo_ms)
    }
}

// === impl Knee ===

impl fmt::Display for Knee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = self.steps.first() {
            writeln!(f, "{}\n", step.report.request)?;
        }
        writeln!(
            f,
            "{:>10}{:>11}{:>9}{:>10}{:>10}{:>10}{:>12}",
            "offered/s", "served/s", "ok %", "p50 ms", "p99 ms", "max ms", "gen. p99 ms"
        )?;
        for step in &self.steps {
            let latency = step.report.latency_ms;
            let time = |pick: fn(super::report::Percentiles) -> f64| {
                latency.map_or("none".to_owned(), |latency| format!("{:.2}", pick(latency)))
            };
            let late = step.report.generator.late_ms;
            writeln!(
                f,
                "{:>10}{:>11}{:>9.2}{:>10}{:>10}{:>10}{:>12}  {}",
                figure(step.rate),
                figure(step.report.served_rate),
                step.report.goodput * 100.0,
                time(|latency| latency.p50),
                time(|latency| latency.p99),
                time(|latency| latency.max),
                late.map_or("none".to_owned(), |late| format!("{:.2}", late.p99)),
                step.verdict
            )?;
        }
        let asked = format!("p99 within {} ms and 99 % ok", self.slo_ms);
        match self.knee {
            Some(knee) if self.bounded => write!(f, "\nknee: {}/s with {asked}", figure(knee)),
            Some(knee) => {
                write!(f, "\nno knee up to {}/s: {asked} at every step", figure(knee))
            }
            None => write!(f, "\nno knee: not one step had {asked}"),
        }?;
        if self.steps.iter().any(|step| step.is_the_generators(self.slo_ms)) {
            write!(
                f,
                "\nnote: in a step that failed, the generator itself was late by half of the \
                 objective or more: the server may be able to do more than that"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a server that serves up to `capacity`; the rates that were tried.
    fn search(first: f64, capacity: f64) -> (Option<f64>, Vec<f64>) {
        let mut search = KneeSearch::new(first);
        let mut tried = Vec::new();
        while let Some(rate) = search.next_rate() {
            let passed = rate <= capacity;
            search.tried(rate, if passed { Verdict::Passed } else { Verdict::TooSlow });
            tried.push(rate);
        }
        (search.passed, tried)
    }

    #[test]
    fn the_knee_is_found_from_below_and_from_above() {
        for first in [1.0, 100.0, 700.0, 50_000.0] {
            for capacity in [3.0, 641.0, 12_345.0, 900_000.0] {
                let (knee, tried) = search(first, capacity);
                let knee = knee.unwrap();
                assert!(knee <= capacity && knee * NARROW * 1.01 >= capacity, "{knee} {capacity}");
                assert!(tried.len() <= MOST_STEPS, "{tried:?}");
            }
        }
    }

    #[test]
    fn a_search_doubles_then_closes_in() {
        let (_, tried) = search(100.0, 500.0);
        assert_eq!(tried[..4], [100.0, 200.0, 400.0, 800.0]);
        assert!(tried[4..].iter().all(|rate| (400.0..800.0).contains(rate)));
    }

    #[test]
    fn a_search_without_an_end_stops() {
        let (knee, tried) = search(100.0, f64::INFINITY);
        assert!(knee.unwrap() >= HIGHEST / 2.0 && tried.len() < MOST_STEPS);
        let (knee, tried) = search(100.0, 0.0);
        assert!(knee.is_none() && tried.len() < MOST_STEPS);
    }
}
