//! Which of TorchServe's metrics there are, their units and dimensions: `metrics_config`. PURE.
//!
//! Read by the configuration at the start. The file is TorchServe's `metrics.yaml`; without one its
//! own set is used. TorchServe gives values by their position: dimensions can be renamed, not added
//! or left out. A wrong file is an error with its line, where TorchServe serves without metrics.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_saphyr::{Spanned, UserMessageFormatter};

/// The metrics of a file, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definitions {
    pub(super) all: Vec<Definition>,
    /// What the operator should know: metrics that are left out.
    pub warnings: Vec<String>,
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) kind: Kind,
    /// In the order of TorchServe's values; the last is the host's name.
    pub(super) dimensions: Vec<String>,
    pub(super) source: Source,
}

/// Prometheus' type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Who measures it: TorchServe writes the two to different files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `ts_metrics`.
    Server,
    /// `model_metrics`.
    Model,
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Only a place for YAML's anchors.
    #[serde(rename = "dimensions")]
    _dimensions: Option<Vec<String>>,
    ts_metrics: Option<Kinds>,
    model_metrics: Option<Kinds>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kinds {
    counter: Option<Vec<Metric>>,
    gauge: Option<Vec<Metric>>,
    histogram: Option<Vec<Metric>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    name: Spanned<String>,
    unit: Spanned<String>,
    dimensions: Option<Vec<Spanned<String>>>,
}

/// TorchServe 0.12's own set: name, unit, type, dimensions, who measures.
#[rustfmt::skip]
const TORCHSERVE: [(&str, &str, Kind, &[&str], Source); 21] = [
    ("Requests2XX", "Count", Kind::Counter, &HOST, Source::Server),
    ("Requests4XX", "Count", Kind::Counter, &HOST, Source::Server),
    ("Requests5XX", "Count", Kind::Counter, &HOST, Source::Server),
    ("ts_inference_requests_total", "Count", Kind::Counter, &VERSION, Source::Server),
    ("ts_inference_latency_microseconds", "Microseconds", Kind::Counter, &VERSION, Source::Server),
    ("ts_queue_latency_microseconds", "Microseconds", Kind::Counter, &VERSION, Source::Server),
    ("QueueTime", "Milliseconds", Kind::Gauge, &HOST, Source::Server),
    ("WorkerThreadTime", "Milliseconds", Kind::Gauge, &HOST, Source::Server),
    ("WorkerLoadTime", "Milliseconds", Kind::Gauge, &["WorkerName", "Level", "Hostname"], Source::Server),
    ("CPUUtilization", "Percent", Kind::Gauge, &HOST, Source::Server),
    ("MemoryUsed", "Megabytes", Kind::Gauge, &HOST, Source::Server),
    ("MemoryAvailable", "Megabytes", Kind::Gauge, &HOST, Source::Server),
    ("MemoryUtilization", "Percent", Kind::Gauge, &HOST, Source::Server),
    ("DiskUsage", "Gigabytes", Kind::Gauge, &HOST, Source::Server),
    ("DiskUtilization", "Percent", Kind::Gauge, &HOST, Source::Server),
    ("DiskAvailable", "Gigabytes", Kind::Gauge, &HOST, Source::Server),
    ("GPUMemoryUtilization", "Percent", Kind::Gauge, &DEVICE, Source::Server),
    ("GPUMemoryUsed", "Megabytes", Kind::Gauge, &DEVICE, Source::Server),
    ("GPUUtilization", "Percent", Kind::Gauge, &DEVICE, Source::Server),
    ("HandlerTime", "ms", Kind::Gauge, &MODEL, Source::Model),
    ("PredictionTime", "ms", Kind::Gauge, &MODEL, Source::Model),
];
const HOST: [&str; 2] = ["Level", "Hostname"];
const VERSION: [&str; 3] = ["model_name", "model_version", "hostname"];
const DEVICE: [&str; 3] = ["Level", "DeviceId", "Hostname"];
const MODEL: [&str; 3] = ["ModelName", "Level", "Hostname"];

/// Metrics of one file.
const MAX_METRICS: usize = 1_000;

// === impl Definitions ===

impl Default for Definitions {
    fn default() -> Definitions {
        let definition =
            |(name, unit, kind, dimensions, source): &(&str, &str, _, &[&str], _)| Definition {
                name: (*name).to_owned(),
                unit: (*unit).to_owned(),
                kind: *kind,
                dimensions: dimensions.iter().map(|&name| name.to_owned()).collect(),
                source: *source,
            };
        Definitions { all: TORCHSERVE.iter().map(definition).collect(), warnings: Vec::new() }
    }
}

impl Definitions {
    /// Reads the text of a `metrics.yaml`.
    ///
    /// # Errors
    /// What is wrong, with its line, and how to mend it.
    pub fn parse(text: &str) -> Result<Definitions, String> {
        let file: File =
            serde_saphyr::from_str_with_options(text, options()).map_err(|e| explain(&e))?;
        let mut definitions = Definitions { all: Vec::new(), warnings: Vec::new() };
        let mut names = BTreeSet::new();
        for (kinds, source) in
            [(file.ts_metrics, Source::Server), (file.model_metrics, Source::Model)]
        {
            let Some(Kinds { counter, gauge, histogram }) = kinds else { continue };
            for (metrics, kind) in
                [(counter, Kind::Counter), (gauge, Kind::Gauge), (histogram, Kind::Histogram)]
            {
                for metric in metrics.unwrap_or_default() {
                    let line = metric.name.referenced.line();
                    if !names.insert(metric.name.value.clone()) {
                        let name = &metric.name.value;
                        return Err(format!("line {line}: {name:?} is there twice; keep one"));
                    }
                    definitions.add(metric, kind, source)?;
                }
            }
        }
        Ok(definitions)
    }

    fn add(&mut self, metric: Metric, kind: Kind, source: Source) -> Result<(), String> {
        let (name, line) = (metric.name.value, metric.name.referenced.line());
        if self.all.len() + self.warnings.len() >= MAX_METRICS {
            return Err(format!("line {line}: more than {MAX_METRICS} metrics; remove some"));
        }
        if !is_name(&name, ":") {
            return Err(format!(
                "line {line}: the name {name:?} is none for Prometheus; use letters, digits, `_` \
                 and `:`, no digit first"
            ));
        }
        let unit = metric.unit.value;
        if unit.is_empty() || unit.contains(char::is_control) {
            let line = metric.unit.referenced.line();
            return Err(format!("line {line}: unit: got {unit:?}, expected a word such as Count"));
        }
        let mut dimensions = Vec::new();
        for dimension in metric.dimensions.unwrap_or_default() {
            let (name, line) = (dimension.value, dimension.referenced.line());
            if !is_name(&name, "") || name.starts_with("__") || name == "le" {
                return Err(format!(
                    "line {line}: the dimension {name:?} is no label of Prometheus; use letters, \
                     digits and `_`, no digit and no `__` first"
                ));
            }
            if dimensions.contains(&name) {
                return Err(format!("line {line}: the dimension {name} is there twice; keep one"));
            }
            dimensions.push(name);
        }
        // TorchServe adds the host's name itself.
        if source == Source::Model && !dimensions.iter().any(|name| name == "Hostname") {
            dimensions.push("Hostname".to_owned());
        }
        let known = TORCHSERVE.iter().find(|(known, .., of)| *known == name && *of == source);
        let Some((_, _, usual, expected, _)) = known else {
            // Python handlers and collectors would fill it.
            let warning = format!("line {line}: {name} is left out: nothing here measures it");
            self.warnings.push(warning);
            return Ok(());
        };
        if *usual == Kind::Counter && kind != Kind::Counter {
            return Err(format!("line {line}: {name} counts; put it under `counter`"));
        }
        if expected.len() != dimensions.len() {
            let expected = match source {
                Source::Server => expected,
                Source::Model => &expected[..expected.len() - 1],
            };
            return Err(format!(
                "line {line}: {name} has {} values; give it as many dimensions, such as {}",
                expected.len(),
                expected.join(", ")
            ));
        }
        self.all.push(Definition { name, unit, kind, dimensions, source });
        Ok(())
    }
}

fn is_name(text: &str, more: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(c);
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(fits)
}

/// Some dozens of metrics: budgets far below the library's defaults.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 16,
            flow_nesting_limit: 16,
            max_nodes: 50_000,
            max_events: 200_000,
            max_anchors: 1_000,
            max_aliases: 20_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 4 << 20,
            max_total_scalar_bytes: 4 << 20,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
            max_alias_expansions_per_anchor: 20_000,
        },
    }
}

/// The parser's reason on one line, after its place.
fn explain(error: &serde_saphyr::Error) -> String {
    let reason = error.without_snippet().render_with_formatter(&UserMessageFormatter);
    let reason = reason.lines().next().unwrap_or_default();
    let reason = reason.split(" at line ").next().unwrap_or(reason);
    match error.location() {
        Some(place) if place.line() > 0 => format!("line {}: {reason}", place.line()),
        _ => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
dimensions:
  - &level \"Level\"
  - &host \"Hostname\"
ts_metrics:
  counter:
    - name: Requests2XX
      unit: Count
      dimensions: [*level, *host]
    - name: OpenSessions
      unit: Count
      dimensions: [*host]
  histogram:
    - name: QueueTime
      unit: Milliseconds
      dimensions: [tier, *host]
model_metrics:
  gauge:
    - name: HandlerTime
      unit: ms
      dimensions: [ModelName, *level]
";

    #[test]
    fn a_file_chooses_metrics_types_and_names_of_dimensions() {
        let definitions = Definitions::parse(FILE).unwrap();
        let found = |name: &str| definitions.all.iter().find(|found| found.name == name).unwrap();
        assert_eq!(definitions.all.len(), 3);
        assert_eq!(found("Requests2XX").dimensions, ["Level", "Hostname"]);
        let queue_time = found("QueueTime");
        assert_eq!(queue_time.kind, Kind::Histogram);
        assert_eq!(queue_time.dimensions, ["tier", "Hostname"]);
        let handler_time = found("HandlerTime");
        assert_eq!(handler_time.dimensions, ["ModelName", "Level", "Hostname"]);
        assert_eq!(handler_time.source, Source::Model);
        assert_eq!(
            definitions.warnings,
            ["line 9: OpenSessions is left out: nothing here measures it"]
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_to_do() {
        for (from, to, expected) in [
            ("unit: ms", "units: ms", "line 19: unknown field"),
            ("      unit: Milliseconds\n", "", "missing field `unit`"),
            ("name: QueueTime", "name: 2Times", "line 13: the name \"2Times\" is none for"),
            ("name: QueueTime", "name: Requests2XX", "line 13: \"Requests2XX\" is there twice"),
            ("[tier, *host]", "[*host]", "line 13: QueueTime has 2 values; give it as many"),
            ("[tier, *host]", "[le, *host]", "line 15: the dimension \"le\" is no label"),
            ("[tier, *host]", "[tier, tier]", "line 15: the dimension tier is there twice"),
            ("  counter:", "  gauge:", "line 6: Requests2XX counts; put it under"),
            ("unit: ms", "unit: ''", "line 19: unit: got \"\", expected a word"),
            ("  gauge:", "  gauges:", "line 17: unknown field"),
            ("ts_metrics:", "ts_metrics: [", "line "),
            ("[ModelName, *level]", "[*nothing]", "line 20: "),
        ] {
            assert!(FILE.contains(from), "{from}");
            let message = Definitions::parse(&FILE.replacen(from, to, 1)).expect_err(to);
            assert!(message.contains(expected) && !message.contains('\n'), "{to}: {message}");
        }
        let bomb = format!("a: &a [{}]\nb: {}\n", "x,".repeat(1000), "[*a,".repeat(9_000));
        assert!(Definitions::parse(&bomb).is_err());
    }

    #[test]
    fn the_set_without_a_file_is_torchserves() {
        let definitions = Definitions::default();
        assert_eq!(definitions.all.len(), 21);
        let of_models = definitions.all.iter().filter(|found| found.source == Source::Model);
        let names: Vec<&str> = of_models.map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["HandlerTime", "PredictionTime"]);
        assert!(definitions.all.iter().all(|found| found.dimensions.len() <= 3));
    }
}
