//! `bench`: offers load to a URL and prints what came back.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::bench::{
    Arrivals, BenchError, KneeSearch, Load, Plan, Progress, Report, RequestPlan, Requests, Step,
    Target, Verdict, knee_chart, run, run_chart, runtime,
};
use crate::cli::{self, Bench};

/// Connections of an open loop: enough for 1000 requests a second that take 100 ms each.
const OPEN_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(128).expect("not zero");
/// Connections of a closed loop: its load.
const CLOSED_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(16).expect("not zero");
/// How often the bar moves.
const TICK: Duration = Duration::from_millis(200);

/// Runs what the flags say.
pub fn bench(flags: &Bench) -> ExitCode {
    let outcome = plan(flags).and_then(|plan| {
        let runtime = runtime(&plan)?;
        // Dropped without waiting for connections that nobody answers.
        let outcome = runtime.block_on(measure(flags, &plan));
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torchfront bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn plan(flags: &Bench) -> Result<Plan, BenchError> {
    let arrivals = match flags.arrivals {
        cli::Arrivals::Constant => Arrivals::Constant,
        cli::Arrivals::Poisson => Arrivals::Poisson,
    };
    let (load, connections) = if flags.closed {
        (Load::Closed, CLOSED_CONNECTIONS)
    } else {
        (Load::Open { rate: flags.rate, arrivals }, OPEN_CONNECTIONS)
    };
    let plan = Plan {
        load,
        duration: flags.duration,
        warm_up: flags.warm_up,
        connections: flags.connections.unwrap_or(connections),
        threads: flags.threads,
    };
    plan.check()?;
    Ok(plan)
}

/// Returns whether anything was answered as expected.
async fn measure(flags: &Bench, plan: &Plan) -> Result<bool, BenchError> {
    let request = RequestPlan {
        method: flags.method.clone(),
        headers: flags.header.clone(),
        bodies: flags.body.clone(),
        content_type: flags.content_type.clone(),
        timeout: flags.timeout,
        expected: flags.expect_status,
    };
    let target = Target::new(&flags.url).await?;
    let requests = Arc::new(Requests::new(target, &request)?);
    requests.check().await?;
    let (ok, chart) = if flags.find_knee {
        let knee = find_knee(flags, plan, &requests).await?;
        print(flags.json, &knee);
        (knee.knee.is_some(), flags.plot.as_ref().map(|_| knee_chart(&knee)))
    } else {
        let report = watched(plan, &requests, "").await?;
        print(flags.json, &report);
        (report.ok > 0, flags.plot.as_ref().map(|_| run_chart(&report)))
    };
    if let (Some(file), Some(chart)) = (&flags.plot, chart) {
        write(file, &chart?)?;
    }
    Ok(ok)
}

async fn find_knee(
    flags: &Bench,
    plan: &Plan,
    requests: &Arc<Requests>,
) -> Result<crate::bench::Knee, BenchError> {
    let (mut search, mut steps) = (KneeSearch::new(flags.rate), Vec::new());
    while let Some(rate) = search.next_rate() {
        let load = match plan.load {
            Load::Open { arrivals, .. } => Load::Open { rate, arrivals },
            Load::Closed => Load::Closed,
        };
        let title = format!("{rate:.0}/s ");
        let report = watched(&Plan { load, ..plan.clone() }, requests, &title).await?;
        let verdict = Verdict::of(&report, flags.slo);
        search.tried(rate, verdict);
        steps.push(Step { rate, verdict, report });
    }
    Ok(search.finish(flags.slo, steps))
}

/// Runs a plan, with a bar on stderr where that is a terminal.
async fn watched(plan: &Plan, requests: &Arc<Requests>, title: &str) -> Result<Report, BenchError> {
    let progress = Arc::new(Progress::default());
    let length = plan.warm_up + plan.duration;
    let bar = ProgressBar::new(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{prefix}{bar:30} {elapsed} of {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(title.to_owned());
    let running = run(plan, requests, &progress);
    tokio::pin!(running);
    let report = loop {
        tokio::select! {
            report = &mut running => break report,
            () = tokio::time::sleep(TICK) => {
                let ok = progress.ok.load(Ordering::Relaxed);
                let failed = progress.failed.load(Ordering::Relaxed);
                bar.set_message(format!("{length:?}, {ok} ok, {failed} failed"));
                bar.set_position(u64::try_from(bar.elapsed().as_millis()).unwrap_or(u64::MAX));
            }
        }
    };
    bar.finish_and_clear();
    report
}

fn print(json: bool, value: &(impl Serialize + fmt::Display)) {
    match json.then(|| serde_json::to_string_pretty(value)) {
        Some(Ok(json)) => println!("{json}"),
        Some(Err(error)) => eprintln!("torchfront: {error}"),
        None => println!("{}", value.to_string().trim_end()),
    }
}

fn write(file: &Path, svg: &str) -> Result<(), BenchError> {
    std::fs::write(file, svg)
        .map_err(|error| BenchError::Chart(format!("{}: {error}", file.display())))
}
