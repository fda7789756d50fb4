//! Where log lines go, as the operator wants it: TorchServe's streams to standard output and files.
//! PURE.

use std::path::Path;

use tracing_subscriber::filter::LevelFilter;

use super::pattern::Pattern;
use super::rolling::RollingSettings;

/// What TorchServe keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The server: `org.pytorch.serve`, `ts_log.log`.
    Server,
    /// One line a request: `ACCESS_LOG`, `access_log.log`.
    Access,
    /// What runs the models: `MODEL_LOG`, `model_log.log`.
    Model,
}

/// One place for lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// Where they are written.
    pub to: Destination,
    /// How they look.
    pub layout: Layout,
    /// Which ones.
    pub levels: Levels,
}

/// Where lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file.
    File(RollingSettings),
}

/// How lines look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One readable line each, with its fields.
    Text,
    /// One JSON object each.
    Json,
    /// log4j's.
    Pattern(Pattern),
}

/// The least level of each stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Of [`Stream::Server`].
    pub server: LevelFilter,
    /// Of [`Stream::Access`].
    pub access: LevelFilter,
    /// Of [`Stream::Model`].
    pub model: LevelFilter,
}

/// TorchServe's layouts.
pub const ACCESS_PATTERN: &str = "%d{ISO8601} - %m%n";
/// The same of the other files.
pub const SERVER_PATTERN: &str = "%d{ISO8601} [%-5p] %t %c - %m%n";

// === impl Stream ===

impl Stream {
    /// The stream of an event's target.
    pub fn of(target: &str) -> Stream {
        const MODEL: [&str; 3] =
            ["torchfront::batching", "torchfront::engine", "torchfront::handlers"];
        match target {
            "access_log" => Stream::Access,
            target if MODEL.iter().any(|room| target.starts_with(room)) => Stream::Model,
            _ => Stream::Server,
        }
    }

    /// TorchServe's name of the logger, where the stream has one.
    pub fn logger(self) -> Option<&'static str> {
        match self {
            Stream::Server => None,
            Stream::Access => Some("ACCESS_LOG"),
            Stream::Model => Some("MODEL_LOG"),
        }
    }
}

// === impl Levels ===

impl Levels {
    /// Nothing.
    pub const OFF: Levels =
        Levels { server: LevelFilter::OFF, access: LevelFilter::OFF, model: LevelFilter::OFF };

    /// Everything that is worth a line.
    pub const INFO: Levels =
        Levels { server: LevelFilter::INFO, access: LevelFilter::INFO, model: LevelFilter::INFO };

    /// The least level of a stream.
    pub fn of(&self, stream: Stream) -> LevelFilter {
        match stream {
            Stream::Server => self.server,
            Stream::Access => self.access,
            Stream::Model => self.model,
        }
    }

    /// Lets lines of this level pass, too.
    pub fn raise(&mut self, stream: Stream, level: LevelFilter) {
        let place = match stream {
            Stream::Server => &mut self.server,
            Stream::Access => &mut self.access,
            Stream::Model => &mut self.model,
        };
        *place = level.max(*place);
    }
}

// === impl Sink ===

impl Sink {
    /// Standard output in this form.
    pub fn stdout(layout: Layout) -> Sink {
        Sink { to: Destination::Stdout, layout, levels: Levels::INFO }
    }

    /// TorchServe's three files in a folder: `ts_log.log` has the lines of the others, too.
    pub fn torchserve_files(folder: &Path) -> [Sink; 3] {
        let file = |name: &str, pattern: &str, levels| Sink {
            to: Destination::File(RollingSettings::torchserve(folder.join(name))),
            layout: Layout::Pattern(Pattern::parse(pattern, &mut Vec::new())),
            levels,
        };
        let access = Levels { access: LevelFilter::INFO, ..Levels::OFF };
        let model = Levels { model: LevelFilter::INFO, ..Levels::OFF };
        [
            file("access_log.log", ACCESS_PATTERN, access),
            file("model_log.log", SERVER_PATTERN, model),
            file("ts_log.log", SERVER_PATTERN, Levels::INFO),
        ]
    }
}
