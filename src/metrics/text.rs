//! The Prometheus text format of everything that was counted, as TorchServe's client writes it: a
//! comma behind the last label, and every value as a floating-point number.
//!
//! TorchServe's tests match the comma, its labels stand in the order of `metrics_config`, and a
//! metric is described before it has a sample: the crate's encoder does none of that.

use std::collections::HashSet;
use std::fmt::Write;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::Metrics;

/// The media type of [`Metrics::text`].
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The samples that were asked for; all when there are none.
struct Names<'a>(HashSet<&'a str>);

/// The text so far.
struct Text<'a> {
    text: String,
    wanted: Names<'a>,
}

// === impl Metrics ===

impl Metrics {
    /// Every metric, or the samples whose names are in `names` when there is one. The name of a
    /// histogram stands for all its samples.
    pub fn text(&self, names: &[String]) -> String {
        self.gather_responses();
        self.versions.gather();
        let wanted = Names(names.iter().map(String::as_str).collect());
        let mut text = Text { text: String::with_capacity(16 << 10), wanted };
        for (family, dimensions) in self.torchserve.exposed() {
            text.family(&family, dimensions);
        }
        if self.mode.exposes_own() {
            for family in self.families.gather() {
                text.family(&family, &[]);
            }
        }
        text.text
    }
}

// === impl Text ===

impl Text<'_> {
    /// A family with its labels in this order; those that are not in it keep their own.
    fn family(&mut self, family: &MetricFamily, order: &[String]) {
        let name = family.name();
        let before = self.text.len();
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            // Nothing here makes any.
            MetricType::SUMMARY | MetricType::UNTYPED => return,
        };
        self.push(format_args!("# HELP {name} {}\n# TYPE {name} {kind}\n", help(family.help())));
        let head = self.text.len();
        for metric in family.get_metric() {
            let labels = labels(metric.get_label(), order);
            match family.get_field_type() {
                MetricType::COUNTER => {
                    self.sample(name, name, "", &labels, metric.get_counter().get_value());
                }
                MetricType::HISTOGRAM => self.histogram(name, &labels, metric),
                _ => self.sample(name, name, "", &labels, metric.get_gauge().get_value()),
            }
        }
        // Who asks for samples gets no empty family.
        if self.text.len() == head && !self.wanted.0.is_empty() {
            self.text.truncate(before);
        }
    }

    fn histogram(&mut self, name: &str, labels: &str, metric: &Metric) {
        let histogram = metric.get_histogram();
        let count = histogram.get_sample_count();
        let bucket = format!("{name}_bucket");
        for each in histogram.get_bucket() {
            let le = format!("le=\"{:?}\",", each.upper_bound());
            self.sample(name, &bucket, &le, labels, each.cumulative_count() as f64);
        }
        self.sample(name, &bucket, "le=\"+Inf\",", labels, count as f64);
        self.sample(name, &format!("{name}_count"), "", labels, count as f64);
        self.sample(name, &format!("{name}_sum"), "", labels, histogram.get_sample_sum());
    }

    fn sample(&mut self, family: &str, name: &str, more: &str, labels: &str, value: f64) {
        if !self.wanted.has(family, name) {
            return;
        }
        match (labels, more) {
            ("", "") => self.push(format_args!("{name} {}\n", Value(value))),
            _ => self.push(format_args!("{name}{{{labels}{more}}} {}\n", Value(value))),
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _written = self.text.write_fmt(text);
    }
}

// === impl Names ===

impl Names<'_> {
    fn has(&self, family: &str, sample: &str) -> bool {
        self.0.is_empty() || self.0.contains(sample) || self.0.contains(family)
    }
}

/// A number as Prometheus reads it, never without a point.
struct Value(f64);

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            value if value == f64::INFINITY => f.write_str("+Inf"),
            value if value == f64::NEG_INFINITY => f.write_str("-Inf"),
            value => write!(f, "{value:?}"),
        }
    }
}

/// `a="x",b="y",`.
fn labels(pairs: &[LabelPair], order: &[String]) -> String {
    let place = |pair: &&LabelPair| {
        order.iter().position(|name| name == pair.name()).unwrap_or(order.len())
    };
    let mut pairs: Vec<&LabelPair> = pairs.iter().collect();
    pairs.sort_by_key(place);
    let mut text = String::new();
    for pair in pairs {
        let _written = write!(text, "{}=\"", pair.name());
        for c in pair.value().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push_str("\",");
    }
    text
}

fn help(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::RawForward;

    fn text(metrics: &Metrics, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        metrics.text(&names)
    }

    #[test]
    fn torchserves_metrics_look_as_its_tests_match_them() {
        let metrics = Metrics::new("host-a").unwrap();
        let responses = metrics.responses("inference");
        responses.count(200);
        responses.count(404);
        let model = metrics.model("digits", "1.0");
        model.rejected(false);
        let took = Duration::from_millis;
        model.accepted(true).succeeded(took(5), took(1), took(2));
        let raw = |batch_size, millis| RawForward { batch_size, time: took(millis) };
        metrics.raw_forward("digits", "1.0", &[raw(1, 2), raw(8, 4)]);
        model.compare_with(&[raw(1, 2), raw(8, 4)]);
        model.served(1, took(1));
        let all = text(&metrics, &[]);
        for line in [
            "# HELP Requests2XX Torchserve prometheus counter metric with unit: Count\n",
            "# TYPE Requests2XX counter\n",
            "\nRequests2XX{Level=\"Host\",Hostname=\"host-a\",} 1.0\n",
            "\nts_inference_requests_total{model_name=\"digits\",model_version=\"default\",\
             hostname=\"host-a\",} 1.0\n",
            "\nts_inference_requests_total{model_name=\"digits\",model_version=\"1.0\",\
             hostname=\"host-a\",} 1.0\n",
            // No GPU was seen yet: described all the same.
            "# TYPE GPUUtilization gauge\n",
            "\nts_http_requests_total{class=\"4xx\",listener=\"inference\",} 1.0\n",
            "\nts_overhead_duration_seconds_sum{model_name=\"digits\",model_version=\"1.0\",} 0.002\n",
            "\nts_raw_forward_seconds{batch_size=\"8\",model_name=\"digits\",model_version=\"1.0\",} \
             0.004\n",
            // 1000 rows a second, where the model alone makes 2000.
            "\nts_serving_efficiency{model_name=\"digits\",model_version=\"1.0\",} 0.5\n",
        ] {
            assert!(all.contains(line), "{line}\n{all}");
        }
    }

    #[test]
    fn names_pick_samples_or_whole_histograms() {
        let metrics = Metrics::new("h").unwrap();
        let model = metrics.model("digits", "1.0");
        model.batch(3);
        let sum = "# HELP ts_batch_size Jobs in a batch\n# TYPE ts_batch_size histogram\n\
                   ts_batch_size_sum{model_name=\"digits\",model_version=\"1.0\",} 3.0\n";
        assert_eq!(text(&metrics, &["ts_batch_size_sum"]), sum);
        let whole = text(&metrics, &["ts_batch_size"]);
        assert!(whole.contains("le=\"4.0\",} 1.0\n") && whole.contains("le=\"+Inf\",} 1.0\n"));
        assert!(
            whole.ends_with(
                "_count{model_name=\"digits\",model_version=\"1.0\",} 1.0\n\
            ts_batch_size_sum{model_name=\"digits\",model_version=\"1.0\",} 3.0\n"
            ),
            "{whole}"
        );
        assert!(!whole.contains("Requests2XX"));
        assert_eq!(text(&metrics, &["nothing", ""]), "");
        assert_eq!(text(&metrics, &["CPUUtilization"]), "");
    }

    #[test]
    fn nothing_is_left_of_a_model_that_went() {
        let metrics = Metrics::new("h").unwrap();
        let (one, two) = (metrics.model("digits", "1.0"), metrics.model("digits", "2.0"));
        for model in [&one, &two] {
            model.rejected(false);
            model.accepted(true).succeeded(Duration::ZERO, Duration::ZERO, Duration::ZERO);
            model.worker_started(9000, Duration::ZERO);
            model.worker_ended(9000);
        }
        metrics.forget_model("digits", "1.0");
        let left = text(&metrics, &[]);
        assert!(left.contains("model_version=\"default\""), "{left}");
        assert!(!left.contains("model_version=\"1.0\""), "{left}");
        metrics.forget_model("digits", "2.0");
        assert!(!text(&metrics, &[]).contains("digits"), "{}", text(&metrics, &[]));
    }

    #[test]
    fn values_and_labels_are_what_prometheus_reads() {
        for (value, shown) in [
            (8.0, "8.0"),
            (0.5, "0.5"),
            (12_345_678.0, "12345678.0"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(Value(value).to_string(), shown);
        }
        let mut pair = LabelPair::default();
        pair.set_name("a".to_owned());
        pair.set_value("x\\\"\ny".to_owned());
        assert_eq!(labels(&[pair], &[]), "a=\"x\\\\\\\"\\ny\",");
    }
}
