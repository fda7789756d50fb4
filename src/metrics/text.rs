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
    use super::*;

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
        model.requested();
        let all = text(&metrics, &[]);
        assert!(all.contains("Requests2XX{Hostname=\"host-a\",Level=\"Host\"} 1"), "{all}");
        assert!(all.contains("ts_http_requests_total{class=\"4xx\",listener=\"inference\"} 1"));
        assert!(all.contains("ts_batch_size_sum{model_name=\"digits\",model_version=\"1.0\"} 3"));
        let filtered = text(&metrics, &["ts_batch_size"]);
        assert!(filtered.contains("ts_batch_size_sum") && !filtered.contains("Requests2XX"));
        metrics.forget_model("digits", "1.0");
        assert!(!text(&metrics, &[]).contains("digits"));
    }
}
