//! Histograms by model version that many threads write at once: `Striped` under Prometheus' form.
//!
//! Values are kept as whole nanoseconds or pieces, so that adding is one instruction.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto;

use super::stripe::Striped;

/// A family of histograms with one set of labels and bounds. Cheap to clone.
#[derive(Clone)]
pub(super) struct Histograms(Arc<Family>);

struct Family {
    desc: Desc,
    labels: &'static [&'static str],
    scale: Scale,
    members: RwLock<BTreeMap<Vec<String>, Histogram>>,
}

/// The upper bounds of the buckets, and what a unit of them is.
#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// Seconds.
    Seconds(&'static [f64]),
    /// Things.
    Pieces(&'static [f64]),
}

/// One histogram. Observing takes no lock and no lookup, and threads do not wait for each other.
#[derive(Clone)]
pub(super) struct Histogram {
    /// In nanoseconds or pieces.
    bounds: Arc<[u64]>,
    units: f64,
    stripes: Arc<Striped<Stripe>>,
}

struct Stripe {
    /// One more than there are bounds.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

// === impl Scale ===

impl Scale {
    fn bounds(self) -> &'static [f64] {
        match self {
            Scale::Seconds(bounds) | Scale::Pieces(bounds) => bounds,
        }
    }

    /// How many units of a stripe make one of a bound.
    fn units(self) -> f64 {
        match self {
            Scale::Seconds(_) => 1e9,
            Scale::Pieces(_) => 1.0,
        }
    }
}

// === impl Histograms ===

impl Histograms {
    /// A family without members.
    ///
    /// # Errors
    /// Prometheus', for a name or a label that it does not allow.
    pub(super) fn new(
        name: &str,
        help: &str,
        labels: &'static [&'static str],
        scale: Scale,
    ) -> prometheus::Result<Self> {
        let variable = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), variable, Default::default())?;
        let members = RwLock::default();
        Ok(Histograms(Arc::new(Family { desc, labels, scale, members })))
    }

    /// The member with these values of the labels, made if it is not there.
    pub(super) fn with_label_values(&self, values: &[&str]) -> Histogram {
        let key = values.iter().map(|value| (*value).to_owned()).collect();
        let mut members = self.0.members.write().unwrap_or_else(PoisonError::into_inner);
        members.entry(key).or_insert_with(|| Histogram::new(self.0.scale)).clone()
    }

    /// Takes a member out; who still holds it observes for nobody.
    pub(super) fn remove_label_values(&self, values: &[&str]) {
        let key: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        self.0.members.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

impl Collector for Histograms {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let members = self.0.members.read().unwrap_or_else(PoisonError::into_inner);
        let metric = |(values, histogram): (&Vec<String>, &Histogram)| {
            let label = |(name, value): (&&str, &String)| {
                let mut pair = proto::LabelPair::default();
                pair.set_name((*name).to_owned());
                pair.set_value(value.clone());
                pair
            };
            let labels = self.0.labels.iter().zip(values).map(label).collect();
            let mut metric = proto::Metric::from_label(labels);
            metric.set_histogram(histogram.read(self.0.scale.bounds()));
            metric
        };
        let mut family = proto::MetricFamily::default();
        family.set_name(self.0.desc.fq_name.clone());
        family.set_help(self.0.desc.help.clone());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(members.iter().map(metric).collect());
        vec![family]
    }
}

// === impl Histogram ===

impl Histogram {
    fn new(scale: Scale) -> Self {
        let units = scale.units();
        // Bounds are a minute or some hundreds: far from the end of the type.
        let bounds: Arc<[u64]> =
            scale.bounds().iter().map(|bound| (bound * units).round() as u64).collect();
        let stripe = || Stripe {
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        };
        let stripes = Arc::new(Striped::with(stripe));
        Histogram { bounds, units, stripes }
    }

    /// A time, in a histogram of seconds.
    pub(super) fn time(&self, time: Duration) {
        self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// A number, in a histogram of pieces.
    pub(super) fn number(&self, number: usize) {
        self.observe(u64::try_from(number).unwrap_or(u64::MAX));
    }

    fn observe(&self, value: u64) {
        let stripe = self.stripes.own();
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        stripe.counts[bucket].fetch_add(1, Ordering::Relaxed);
        stripe.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// How many values are up to each bound and above the one before; at last, above all bounds.
    pub(super) fn counts(&self) -> Vec<u64> {
        let of = |bucket: usize| {
            let counts = self.stripes.iter().filter_map(move |stripe| stripe.counts.get(bucket));
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        (0..=self.bounds.len()).map(of).collect()
    }

    /// How many values there were.
    pub(super) fn count(&self) -> u64 {
        let counts = self.stripes.iter().flat_map(|stripe| &stripe.counts);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The sum of the values: seconds, or pieces.
    pub(super) fn sum(&self) -> f64 {
        let sums = self.stripes.iter().map(|stripe| stripe.sum.load(Ordering::Relaxed));
        sums.map(|sum| sum as f64).sum::<f64>() / self.units
    }

    /// In Prometheus' form: counts that include those of the smaller buckets.
    fn read(&self, bounds: &[f64]) -> proto::Histogram {
        let mut below = 0;
        let at = |bucket: usize| -> u64 {
            let counts = self.stripes.iter().map(|stripe| &stripe.counts[bucket]);
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        let mut bucket = |(place, bound): (usize, &f64)| {
            below += at(place);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(below);
            bucket
        };
        let buckets = bounds.iter().enumerate().map(&mut bucket).collect();
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(below + at(bounds.len()));
        histogram.set_sample_sum(self.sum());
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_at_their_bound_and_below() {
        let family = Histograms::new("h", "help", &["a"], Scale::Seconds(&[0.001, 1.0])).unwrap();
        let histogram = family.with_label_values(&["x"]);
        for time in [0, 1_000_000, 1_000_001, 1_000_000_000, 2_000_000_000] {
            histogram.time(Duration::from_nanos(time));
        }
        assert_eq!(histogram.count(), 5);
        assert!((histogram.sum() - 3.002_000_001).abs() < 1e-12);
        let collected = family.collect();
        let metric = &collected[0].get_metric()[0];
        assert_eq!(metric.get_label()[0].value(), "x");
        let histogram = metric.get_histogram();
        let counts = histogram.get_bucket().iter().map(|bucket| bucket.cumulative_count());
        assert_eq!(counts.collect::<Vec<_>>(), [2, 4]);
        assert_eq!(histogram.get_sample_count(), 5);
        family.remove_label_values(&["x"]);
        assert!(family.collect()[0].get_metric().is_empty());
    }

    #[test]
    fn pieces_are_whole_numbers() {
        let family = Histograms::new("h", "help", &["a"], Scale::Pieces(&[1.0, 8.0])).unwrap();
        let histogram = family.with_label_values(&["x"]);
        [1, 2, 8, 9].iter().for_each(|number| histogram.number(*number));
        assert_eq!((histogram.count(), histogram.sum()), (4, 20.0));
    }
}
