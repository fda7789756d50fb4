//! Figures as SVG: a run over time, a search for the knee over the rate.

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::report::Percentiles;
use super::{BenchError, Knee, Report};

/// One line of a panel.
struct Series {
    name: &'static str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

/// One coordinate system with its lines.
struct Panel<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    /// Whether y is logarithmic: latencies span orders of magnitude.
    log: bool,
    series: Vec<Series>,
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

const SIZE: (u32, u32) = (960, 720);
// Told apart by people who see no red or no green, too (Okabe and Ito).
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const RED: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);

/// Latency percentiles and rates over the time of one run.
///
/// # Errors
/// [`BenchError::Chart`].
pub fn run_chart(report: &Report) -> Result<String, BenchError> {
    let over_time = |pick: fn(&Percentiles) -> f64| {
        let windows = report.windows.iter();
        windows
            .filter_map(|window| Some((window.from_s, pick(window.latency_ms.as_ref()?))))
            .collect()
    };
    let latency = Panel {
        title: &report.request,
        x: "seconds",
        y: "latency, ms",
        log: true,
        series: vec![
            Series { name: "max", color: RED, points: over_time(|latency| latency.max) },
            Series { name: "p99", color: ORANGE, points: over_time(|latency| latency.p99) },
            Series { name: "p90", color: GREEN, points: over_time(|latency| latency.p90) },
            Series { name: "p50", color: BLUE, points: over_time(|latency| latency.p50) },
        ],
    };
    let windows = report.windows.iter();
    let offered = windows.clone().map(|window| (window.from_s, window.offered_rate)).collect();
    let served = windows.map(|window| (window.from_s, window.served_rate)).collect();
    let rates = Panel {
        title: "requests",
        x: "seconds",
        y: "requests/s",
        log: false,
        series: vec![
            Series { name: "offered", color: ORANGE, points: offered },
            Series { name: "served", color: BLUE, points: served },
        ],
    };
    draw(&[latency, rates])
}

/// Latency and served rate of each step of a search, over the rate that it offered.
///
/// # Errors
/// [`BenchError::Chart`].
pub fn knee_chart(knee: &Knee) -> Result<String, BenchError> {
    let mut steps: Vec<_> = knee.steps.iter().collect();
    steps.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let of = |pick: fn(&Percentiles) -> f64| {
        let steps = steps.iter();
        steps.filter_map(|step| Some((step.rate, pick(step.report.latency_ms.as_ref()?)))).collect()
    };
    let objective = steps.iter().map(|step| (step.rate, knee.slo_ms)).collect();
    let title = steps.first().map_or("", |step| step.report.request.as_str());
    let latency = Panel {
        title,
        x: "offered, requests/s",
        y: "latency, ms",
        log: true,
        series: vec![
            Series { name: "objective for p99", color: RED, points: objective },
            Series { name: "p99", color: ORANGE, points: of(|latency| latency.p99) },
            Series { name: "p50", color: BLUE, points: of(|latency| latency.p50) },
        ],
    };
    let served = steps.iter().map(|step| (step.rate, step.report.served_rate)).collect();
    let rates = Panel {
        title: "served",
        x: "offered, requests/s",
        y: "requests/s",
        log: false,
        series: vec![Series { name: "served", color: BLUE, points: served }],
    };
    draw(&[latency, rates])
}

/// The panels below each other.
fn draw(panels: &[Panel<'_>]) -> Result<String, BenchError> {
    let mut svg = String::new();
    {
        let canvas = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let failed = |error: Box<dyn std::error::Error>| BenchError::Chart(error.to_string());
        canvas.fill(&WHITE).map_err(|error| failed(error.into()))?;
        for (area, panel) in canvas.split_evenly((panels.len(), 1)).iter().zip(panels) {
            panel.draw(area).map_err(failed)?;
        }
        canvas.present().map_err(|error| failed(error.into()))?;
    }
    Ok(svg)
}

// === impl Panel ===

impl Panel<'_> {
    fn draw(&self, area: &Canvas<'_>) -> Drawn {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let highest = points().map(|point| point.1).fold(0.0, f64::max);
        let lowest = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
        if self.log {
            let lowest = lowest.clamp(0.001, highest.max(0.001));
            self.draw_on(area, (lowest * 0.8..highest.max(0.01) * 1.25).log_scale())
        } else {
            self.draw_on(area, 0.0..highest.max(1.0) * 1.1)
        }
    }

    fn draw_on<Y>(&self, area: &Canvas<'_>, y: Y) -> Drawn
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
    {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let last = points().map(|point| point.0).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 16))
            .margin(12)
            .margin_right(28)
            .x_label_area_size(36)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..last.max(0.001), y)?;
        let legend = if self.log {
            SeriesLabelPosition::UpperLeft
        } else {
            // Rates keep to the top; latencies do not keep to anything.
            SeriesLabelPosition::LowerLeft
        };
        let short = |number: &f64| {
            if *number >= 10.0 { format!("{number:.0}") } else { format!("{number}") }
        };
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&short)
            .y_label_formatter(&short)
            .y_labels(6)
            .light_line_style(WHITE)
            .draw()?;
        for series in &self.series {
            let style = series.color.stroke_width(2);
            let color = series.color;
            chart
                .draw_series(LineSeries::new(series.points.iter().copied(), style))?
                .label(series.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
        }
        chart
            .configure_series_labels()
            .position(legend)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        Ok(())
    }
}
