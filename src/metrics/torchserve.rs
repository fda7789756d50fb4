//! TorchServe's own metrics, as `metrics_config` and `metrics_mode` want them: each update goes to
//! a Prometheus series, to a line of a file, or nowhere.

use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, Opts,
};

use super::MetricsFiles;
use super::definitions::{Definition, Definitions, Kind, Source};
use super::log_file::LogFile;
use super::mode::MetricsMode;
use crate::telemetry::LogGuard;

/// TorchServe's metrics of one server. Cheap to clone.
#[derive(Clone)]
pub(super) struct TorchServe {
    families: Arc<Vec<Family>>,
    hostname: Arc<str>,
    /// Those of the files, until [`TorchServe::end_logs`].
    guards: Arc<Mutex<Vec<LogGuard>>>,
}

/// One metric and where it goes.
struct Family {
    definition: Definition,
    place: Place,
}

enum Place {
    Counters(CounterVec),
    Gauges(GaugeVec),
    Histograms(HistogramVec),
    Lines(LogFile),
}

/// One metric with its dimensions' values; updating it takes no lock and no lookup.
#[derive(Clone, Default)]
pub(super) enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
    Line(Arc<Line>),
    /// Not among the metrics of `metrics_config`.
    #[default]
    Nowhere,
}

/// What stands in a line before and behind the value.
pub(super) struct Line {
    log: LogFile,
    start: String,
    end: String,
}

/// The buckets of a metric that `metrics_config` makes a histogram: those of TorchServe's Prometheus
/// client, whatever the unit.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The files of `metrics_mode=log`, made when something goes there.
struct LogFiles<'a> {
    places: &'a MetricsFiles,
    server: Option<LogFile>,
    model: Option<LogFile>,
    guards: Vec<LogGuard>,
}

// === impl TorchServe ===

impl TorchServe {
    /// The metrics of `definitions`; `files` are made when `mode` writes some.
    ///
    /// # Errors
    /// The file that cannot be opened, and why.
    pub(super) fn new(
        definitions: &Definitions,
        mode: MetricsMode,
        files: &MetricsFiles,
        hostname: &str,
    ) -> io::Result<TorchServe> {
        let mut files = LogFiles { places: files, server: None, model: None, guards: Vec::new() };
        // TorchServe makes both when it starts.
        if mode.logs() {
            files.of(Source::Server)?;
            files.of(Source::Model)?;
        }
        let family = |definition: &Definition| {
            let place = match mode.exposes(&definition.name) {
                true => Place::exposed(definition).map_err(io::Error::other)?,
                false => Place::Lines(files.of(definition.source)?),
            };
            Ok(Family { definition: definition.clone(), place })
        };
        let families = definitions.all.iter().map(family).collect::<io::Result<_>>()?;
        let guards = Arc::new(Mutex::new(files.guards));
        Ok(TorchServe { families: Arc::new(families), hostname: hostname.into(), guards })
    }

    /// Writes the lines that are on their way and ends the files. Blocks.
    pub(super) fn end_logs(&self) {
        let mut guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
        guards.clear();
    }

    /// The series of a metric. `values` are in TorchServe's order and without the host's name, which
    /// is the last of every metric.
    pub(super) fn series(&self, name: &str, values: &[&str]) -> Series {
        let Some(family) = self.family(name) else { return Series::Nowhere };
        let values = self.with_hostname(values);
        match &family.place {
            Place::Counters(vec) => {
                vec.get_metric_with_label_values(&values).map_or(Series::Nowhere, Series::Counter)
            }
            Place::Gauges(vec) => {
                vec.get_metric_with_label_values(&values).map_or(Series::Nowhere, Series::Gauge)
            }
            Place::Histograms(vec) => {
                vec.get_metric_with_label_values(&values).map_or(Series::Nowhere, Series::Histogram)
            }
            Place::Lines(log) => Series::Line(Arc::new(Line::of(log, &family.definition, &values))),
        }
    }

    /// Removes a series from the text.
    pub(super) fn forget(&self, name: &str, values: &[&str]) {
        let Some(family) = self.family(name) else { return };
        let values = self.with_hostname(values);
        // A series that was never there needs no removal.
        let _absent = match &family.place {
            Place::Counters(vec) => vec.remove_label_values(&values),
            Place::Gauges(vec) => vec.remove_label_values(&values),
            Place::Histograms(vec) => vec.remove_label_values(&values),
            Place::Lines(_) => Ok(()),
        };
    }

    /// What stands in `/metrics`, in the order of `metrics_config`, each with its labels in theirs.
    pub(super) fn exposed(&self) -> impl Iterator<Item = (MetricFamily, &[String])> {
        self.families.iter().flat_map(|family| {
            let collected = match &family.place {
                Place::Counters(vec) => vec.collect(),
                Place::Gauges(vec) => vec.collect(),
                Place::Histograms(vec) => vec.collect(),
                Place::Lines(_) => Vec::new(),
            };
            let dimensions = family.definition.dimensions.as_slice();
            collected.into_iter().map(move |collected| (collected, dimensions))
        })
    }

    fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.definition.name == name)
    }

    fn with_hostname<'a>(&'a self, values: &[&'a str]) -> Vec<&'a str> {
        values.iter().copied().chain([&*self.hostname]).collect()
    }
}

// === impl Place ===

impl Place {
    fn exposed(definition: &Definition) -> Result<Place, prometheus::Error> {
        let Definition { name, unit, .. } = definition;
        let labels: Vec<&str> = definition.dimensions.iter().map(String::as_str).collect();
        // TorchServe's sentence.
        let help = |kind: &str| format!("Torchserve prometheus {kind} metric with unit: {unit}");
        Ok(match definition.kind {
            Kind::Counter => {
                Place::Counters(CounterVec::new(Opts::new(name, help("counter")), &labels)?)
            }
            Kind::Gauge => Place::Gauges(GaugeVec::new(Opts::new(name, help("gauge")), &labels)?),
            Kind::Histogram => {
                let options = HistogramOpts::new(name, help("histogram")).buckets(BUCKETS.to_vec());
                Place::Histograms(HistogramVec::new(options, &labels)?)
            }
        })
    }
}

// === impl LogFiles ===

impl LogFiles<'_> {
    fn of(&mut self, source: Source) -> io::Result<LogFile> {
        let (file, place) = match source {
            Source::Server => (&mut self.server, &self.places.server),
            Source::Model => (&mut self.model, &self.places.model),
        };
        if file.is_none() {
            let (log, guard) = LogFile::open(place.clone()).map_err(|error| {
                let text = format!("{} cannot be written: {error}", place.path.display());
                io::Error::new(error.kind(), text)
            })?;
            *file = Some(log);
            self.guards.push(guard);
        }
        file.clone().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

// === impl Series ===

impl Series {
    /// True when an update is a line of a file.
    pub(super) fn is_line(&self) -> bool {
        matches!(self, Series::Line(_))
    }

    /// Adds to a counter, sets a gauge, or writes a line.
    pub(super) fn update(&self, value: f64) {
        match self {
            Series::Counter(counter) => counter.inc_by(value),
            Series::Gauge(gauge) => gauge.set(value),
            Series::Histogram(histogram) => histogram.observe(value),
            Series::Line(line) => line.write(value),
            Series::Nowhere => {}
        }
    }
}

// === impl Line ===

impl Line {
    /// `Name.Unit:VALUE|#Level:Host|#hostname:h`.
    fn of(log: &LogFile, definition: &Definition, values: &[&str]) -> Line {
        let start = format!("{}.{}:", definition.name, definition.unit);
        let (mut end, last) = (String::from("|#"), values.len().saturating_sub(1));
        for (at, (name, value)) in definition.dimensions.iter().zip(&values[..last]).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a string does not fail.
            let _written = write!(end, "{comma}{name}:{value}");
        }
        let _written = write!(end, "|#hostname:{}", values[last]);
        Line { log: log.clone(), start, end }
    }

    fn write(&self, value: f64) {
        self.log.write(&format!("{}{value:?}{}", self.start, self.end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mode: MetricsMode) -> (usize, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let files = MetricsFiles::in_folder(folder.path());
        let metrics = TorchServe::new(&Definitions::default(), mode, &files, "host-a").unwrap();
        metrics.series("Requests2XX", &["Host"]).update(1.0);
        metrics.series("ts_inference_requests_total", &["m", "default"]).update(1.0);
        metrics.series("WorkerLoadTime", &["W-9000-m_1.0", "Host"]).update(12.5);
        metrics.series("HandlerTime", &["m", "Model"]).update(0.25);
        metrics.series("Nothing", &["m"]).update(1.0);
        let exposed = metrics.exposed().count();
        metrics.end_logs();
        let read = |name: &str| {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
            let line = |line: &str| {
                let (_, rest) = line.split_once(" - ").unwrap();
                rest.split_once(",timestamp:").unwrap().0.to_owned() + "\n"
            };
            text.lines().map(line).collect()
        };
        (exposed, read("ts_metrics.log"), read("model_metrics.log"))
    }

    #[test]
    fn log_mode_writes_torchserves_lines_and_exposes_nothing() {
        let (exposed, server, model) = lines(MetricsMode::Log);
        assert_eq!(exposed, 0);
        assert_eq!(
            server,
            "Requests2XX.Count:1.0|#Level:Host|#hostname:host-a\n\
             ts_inference_requests_total.Count:1.0|#model_name:m,model_version:default\
             |#hostname:host-a\n\
             WorkerLoadTime.Milliseconds:12.5|#WorkerName:W-9000-m_1.0,Level:Host\
             |#hostname:host-a\n"
        );
        assert_eq!(model, "HandlerTime.ms:0.25|#ModelName:m,Level:Model|#hostname:host-a\n");
    }

    #[test]
    fn legacy_mode_exposes_the_three_counters_and_writes_the_rest() {
        let (exposed, server, model) = lines(MetricsMode::Legacy);
        assert_eq!(exposed, 3);
        assert_eq!((server.lines().count(), model.lines().count()), (2, 1));
        assert!(!server.contains("ts_inference"), "{server}");
    }

    #[test]
    fn prometheus_mode_writes_no_file() {
        assert_eq!(lines(MetricsMode::Prometheus), (21, String::new(), String::new()));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::NamedTempFile::new().unwrap();
        let definitions = Definitions::default();
        let files = MetricsFiles::in_folder(folder.path());
        let error = TorchServe::new(&definitions, MetricsMode::Log, &files, "h").err();
        let text = error.unwrap().to_string();
        assert!(text.contains("ts_metrics.log cannot be written"), "{text}");
    }
}
