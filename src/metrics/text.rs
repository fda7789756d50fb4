//! The Prometheus text format of everything that was counted.

use prometheus::{Encoder, TextEncoder};

use super::Metrics;

/// The media type of [`Metrics::text`].
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Metrics {
    /// Every family, or those whose names are in `names` when there is one.
    ///
    /// # Errors
    /// [`prometheus::Error`] when a family cannot be written, which is a bug.
    pub fn text(&self, names: &[String]) -> Result<Vec<u8>, prometheus::Error> {
        self.gather_responses();
        let mut families = self.families.gather();
        if !names.is_empty() {
            families.retain(|family| names.iter().any(|name| name == family.name()));
        }
        let mut text = Vec::with_capacity(8 * 1024);
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::RawForward;

    fn text(metrics: &Metrics, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        String::from_utf8(metrics.text(&names).unwrap()).unwrap()
    }

    #[test]
    fn writes_what_was_counted_and_forgets_a_model() {
        let metrics = Metrics::new("host-a").unwrap();
        let responses = metrics.responses("inference");
        responses.count(200);
        responses.count(404);
        let model = metrics.model("digits", "1.0");
        model.batch(3);
        model.accepted().succeeded(Duration::from_millis(5), Duration::from_millis(3));
        let raw =
            |batch_size, millis| RawForward { batch_size, time: Duration::from_millis(millis) };
        metrics.raw_forward("digits", "1.0", &[raw(1, 2), raw(8, 4)]);
        model.compare_with(&[raw(1, 2), raw(8, 4)]);
        model.served(1, Duration::from_millis(1));
        let all = text(&metrics, &[]);
        assert!(all.contains("Requests2XX{Hostname=\"host-a\",Level=\"Host\"} 1"), "{all}");
        assert!(all.contains("ts_http_requests_total{class=\"4xx\",listener=\"inference\"} 1"));
        assert!(all.contains("ts_batch_size_sum{model_name=\"digits\",model_version=\"1.0\"} 3"));
        let labels = "model_name=\"digits\",model_version=\"1.0\"";
        for line in [
            format!("ts_overhead_duration_seconds_sum{{{labels}}} 0.002\n"),
            format!("ts_raw_forward_seconds{{batch_size=\"8\",{labels}}} 0.004\n"),
            // 1000 rows a second, where the model alone makes 2000.
            format!("ts_serving_efficiency{{{labels}}} 0.5\n"),
        ] {
            assert!(all.contains(&line), "{line} is not in {all}");
        }
        let filtered = text(&metrics, &["ts_batch_size"]);
        assert!(filtered.contains("ts_batch_size_sum") && !filtered.contains("Requests2XX"));
        metrics.forget_model("digits", "1.0");
        assert!(!text(&metrics, &[]).contains("digits"));
    }
}
