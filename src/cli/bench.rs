//! `torchfront bench`: its flags, as typed text. What makes sense together is decided in `bench/`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// `bench`.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(
    about = "Offer load to a URL and report latency and throughput",
    long_about = "Offers load to a URL, of this or any other HTTP server, and reports latency and \
        throughput.\n\n\
        Open loop, the default: requests are due at a constant rate, whatever the server does, and \
        latency runs from when a request was due. A server that stalls for a second delays everybody \
        who came in that second, and the percentiles say so. Every request that was due is reported: \
        offered = ok + errors + unsent.\n\n\
        Closed loop, --closed: each connection waits for its answer before it sends again. That \
        measures the capacity, not what users see.",
    after_help = "Examples:\n  \
        torchfront bench http://127.0.0.1:8080/predictions/digits --body digit.png --rate 200\n  \
        torchfront bench URL --body a.json --body b.json --arrivals poisson --plot run.svg\n  \
        torchfront bench URL --body photo.jpg --find-knee --slo 50ms\n  \
        torchfront bench URL --body photo.jpg --closed -c 16 --json\n\n\
        Exit status: 0: measured, 1: not one answer was ok or no load could be offered, 2: wrong \
        flags."
)]
pub struct Bench {
    /// What to request.
    #[arg(help = "What to request: http://HOST[:PORT][/PATH]")]
    pub url: String,

    /// Requests a second; with --find-knee, the first rate to try
    #[arg(long, value_name = "R", default_value_t = 100.0, conflicts_with = "closed")]
    pub rate: f64,

    /// How requests are spread: like clockwork, or independently of each other as from many users
    #[arg(long, value_enum, default_value_t = Arrivals::Constant, conflicts_with = "closed")]
    pub arrivals: Arrivals,

    /// Closed loop: each connection sends the next request when it has its answer
    #[arg(long)]
    pub closed: bool,

    /// The most requests at once, each on a connection that is kept; open loop: 128, closed: 16
    #[arg(short = 'c', long, value_name = "N")]
    pub connections: Option<NonZeroUsize>,

    /// How long to measure: 10s, 500ms, 5m, or seconds; with --find-knee, each step
    #[arg(long, short = 'd', value_name = "TIME", default_value = "10s", value_parser = time)]
    pub duration: Duration,

    /// For how long to offer the same load before that
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub warm_up: Duration,

    /// How long an answer may take from when its request was sent; then it counts as an error
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub timeout: Duration,

    /// The method; without it POST when there is a body, else GET
    #[arg(long, short = 'X', value_name = "NAME")]
    pub method: Option<String>,

    /// A header of every request; may be repeated
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    pub header: Vec<String>,

    /// A file to send; when repeated, the files are sent in turn
    #[arg(long, value_name = "FILE")]
    pub body: Vec<PathBuf>,

    /// Content-Type of the bodies; without it by the first file's extension: .json, .jpg, .png,
    /// .txt, anything else application/octet-stream
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,

    /// The status that counts as ok; without it any 2xx
    #[arg(long, value_name = "STATUS")]
    pub expect_status: Option<u16>,

    /// Raise the rate in steps until p99 is above --slo or fewer than 99 % are ok, then close in on
    /// the highest rate that is served well
    #[arg(long, conflicts_with = "closed")]
    pub find_knee: bool,

    /// The highest 99th percentile of the latency that --find-knee accepts
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = time)]
    #[arg(requires = "find_knee")]
    pub slo: Duration,

    /// Threads of the generator; more take processors from a server on the same machine
    #[arg(long, value_name = "N", default_value = "1")]
    pub threads: NonZeroUsize,

    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,

    /// Draw latency percentiles, offered and served rate over time (with --find-knee: over the rate)
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// How an open loop spreads its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Arrivals {
    /// The same time between all of them.
    Constant,
    /// A Poisson process.
    Poisson,
}

/// `10s`, `500ms`, `5m`, `1h`, or seconds.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("want a number with us, ms, s, m or h".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| "want a time such as 10s or 500ms".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    fn parse(line: &str) -> Result<Bench, String> {
        let command = Bench::augment_args(Command::new("bench"));
        let words = std::iter::once("bench").chain(line.split_whitespace());
        let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
        Bench::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn times_are_read_with_their_units() {
        for (text, millis) in [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("1.5", 1500)] {
            assert_eq!(time(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "s", "-1s", "10 parsecs", "1e400", "nan", "inf", "ms10", "é"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        let bench = parse("http://h/ --closed -c 4 -d 2s --body a --body b -H A:b").unwrap();
        assert_eq!((bench.closed, bench.connections), (true, NonZeroUsize::new(4)));
        assert_eq!((bench.body.len(), bench.header.len()), (2, 1));
        for line in [
            "",
            "http://h/ --closed --rate 5",
            "http://h/ --closed --find-knee",
            "http://h/ --slo 5ms",
            "http://h/ -c 0",
            "http://h/ --arrivals sometimes",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
