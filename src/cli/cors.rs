//! `torchfront cors`: its commands and their flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{Action, bench::time};

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Command {
    /// Print every mistake and doubt with its line and the fix; exit status 0: none, 78: errors
    Check(CorsCheck),
    /// Print what a browser would be allowed to do, and why; exit status 0: allowed, 3: denied
    Explain(CorsExplain),
    /// Send what browsers and attackers send to a running server and judge the answers; exit status
    /// 0: as it should be, 1: not
    Probe(Box<CorsProbe>),
    /// Write the policy for nginx, ingress-nginx, Envoy or curl; exit status 1: it cannot be said
    /// there
    Export(CorsExport),
    /// Print which verdicts change between two files; exit status 0: none, 4: something is allowed
    /// that was not, 5: only less is allowed
    Diff(CorsDiff),
    /// Hold policies against the written expectations of a file; exit status 0: met, 1: not
    Vectors(CorsVectors),
}

/// `cors check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CorsCheck {
    /// Count warnings as errors (exit status 1): for CI and production
    #[arg(long)]
    pub strict: bool,
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `cors explain`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CorsExplain {
    /// The listener that the page calls
    #[arg(long, value_enum, default_value_t = Listener::Inference)]
    pub listener: Listener,
    /// The origin of the page as browsers send it: scheme, host, and the port where it is not the
    /// scheme's own
    #[arg(long)]
    pub origin: String,
    /// The method of the request
    #[arg(long, default_value = "POST")]
    pub method: String,
    /// The request headers that the page sets, between commas
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub headers: Vec<String>,
    /// The page sends cookies (`credentials: 'include'`)
    #[arg(long)]
    pub credentials: bool,
    /// The path of the request; models and routes may have a policy of their own
    #[arg(long, default_value = "/")]
    pub path: String,
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub ts_config: PathBuf,
}

/// A listener's name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listener {
    /// The inference API.
    Inference,
    /// The management API.
    Management,
    /// The metrics API.
    Metrics,
}

/// `cors probe`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    long_about = "Sends what browsers send (preflights and requests, with and without credentials) and \
        what attackers send (foreign origins, `null`, look-alikes) to a running server, and judges the \
        answers as a browser does. Nothing is changed there: the request itself is a GET without a \
        body, unless --request says otherwise. Redirects are not followed.\n\n\
        With --edge the same is sent to the public URL too, and the headers of both are compared: what \
        a CDN or gateway strips, adds or changes is named.\n\n\
        With --ts-config the origins, methods, headers and credentials are those of the policy, and a \
        server that does less or more than it says fails.",
    after_help = "Examples:\n  \
        torchfront cors probe https://api.example.com/ping --origin https://www.example.com\n  \
        torchfront cors probe http://10.0.0.5:8080/ping --edge https://api.example.com/ping \
        --ts-config config.properties\n  \
        torchfront cors probe URL --origin O --metrics-textfile /var/lib/node_exporter/cors.prom\n\n\
        Exit status: 0: everything is as it should be, 1: a check failed, 2: wrong flags, 78: the \
        configuration is wrong."
)]
pub struct CorsProbe {
    /// What to request: http:// or https://, with the path of an API
    #[arg(value_name = "URL")]
    pub url: String,

    /// The origin of a page that must be able to call it; may be repeated
    #[arg(long, value_name = "ORIGIN", required_unless_present = "ts_config")]
    pub origin: Vec<String>,

    /// The public URL of the same API: probed as well, and compared
    #[arg(long, value_name = "URL")]
    pub edge: Option<String>,

    /// The policy that the server should have; its origins are those that are tried
    #[arg(long, value_name = "FILE")]
    pub ts_config: Option<PathBuf>,

    /// With --ts-config: the listener that the URL belongs to
    #[arg(long, value_enum, default_value_t = Listener::Inference)]
    pub listener: Listener,

    /// A method that pages must be able to use; may be repeated. Without it those of the policy, or
    /// POST
    #[arg(long, value_name = "NAME")]
    pub method: Vec<String>,

    /// The request headers that pages must be able to set, between commas. Without it those of the
    /// policy, or Content-Type
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub headers: Vec<String>,

    /// The response headers that pages must be able to read, between commas. Without it those of
    /// the policy
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub expose: Vec<String>,

    /// Pages send cookies (`credentials: 'include'`); the policy's own word with --ts-config
    #[arg(long)]
    pub credentials: bool,

    /// The method of the request itself, sent without a body
    #[arg(long, value_name = "NAME", default_value = "GET")]
    pub request: String,

    /// A token that is sent with requests (never with preflights) and never printed; @FILE reads it
    /// from a file, where other users of the machine do not see it
    #[arg(long, value_name = "TOKEN|@FILE")]
    pub token: Option<String>,

    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub timeout: Duration,

    /// How long a preflight may take (the median of five); it is only reported without
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub max_latency: Option<Duration>,

    /// Add the results to this file of Prometheus' text format, for the node exporter's textfile
    /// collector
    #[arg(long, value_name = "FILE")]
    pub metrics_textfile: Option<PathBuf>,

    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
}

/// `cors export`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CorsExport {
    /// For whom
    #[arg(long, value_enum, value_name = "TARGET")]
    pub to: ExportTarget,
    /// The listener whose policy it is
    #[arg(long, value_enum, default_value_t = Listener::Inference)]
    pub listener: Listener,
    /// Where the edge listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8000")]
    pub listen: String,
    /// Where the server is; 127.0.0.1 and the listener's default port without it
    #[arg(long, value_name = "HOST:PORT")]
    pub upstream: Option<String>,
    /// For curl: the path that is requested
    #[arg(long, default_value = "/ping")]
    pub path: String,
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `cors diff`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CorsDiff {
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
    /// The configuration as it is
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The configuration as it should become
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
}

/// `cors vectors`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CorsVectors {
    /// The policy for cases that bring none of their own
    #[arg(long, value_name = "FILE")]
    pub ts_config: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
    /// The cases, in the format of tests/cors/vectors.json
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Whose language a policy is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportTarget {
    /// A file for the http block of nginx.
    Nginx,
    /// Annotations of an Ingress.
    IngressNginx,
    /// A configuration of Envoy.
    Envoy,
    /// A shell script.
    Curl,
}

// === impl Command ===

impl Command {
    pub(super) fn into_action(self) -> Action {
        match self {
            Command::Check(check) => Action::CorsCheck(check),
            Command::Explain(explain) => Action::CorsExplain(explain),
            Command::Probe(probe) => Action::CorsProbe(probe),
            Command::Export(export) => Action::CorsExport(export),
            Command::Diff(diff) => Action::CorsDiff(diff),
            Command::Vectors(vectors) => Action::CorsVectors(vectors),
        }
    }
}
