//! How a listener's policies are run, besides what they say: files that are followed, the beacon,
//! checks of its own, how many origins are told apart.

use std::{path::PathBuf, sync::Arc};

/// Of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The allow-list's file, as it was read.
    pub origin_file: Option<OriginFile>,
    /// How often its file is looked at, in seconds; 0 is never.
    pub reload_seconds: u32,
    /// A candidate for the next policy, evaluated beside this one.
    pub shadow_file: Option<PathBuf>,
    /// How many entries of allow-lists are told apart in metrics.
    pub origin_slots: u32,
    /// When the listener checks itself.
    pub selftest: SelfTest,
    /// What browsers may report.
    pub report: Report,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its content.
    pub text: Arc<str>,
    /// Origins in it.
    pub entries: usize,
}

/// When a listener checks itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTest {
    /// Never.
    Off,
    /// At the start.
    Start,
    /// At the start, and after every so many seconds.
    Every(u32),
}

/// The beacon of browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Reports are taken and the script is served.
    pub enabled: bool,
    /// Where reports are sent.
    pub path: String,
    /// Reports of a second; more are dropped.
    pub max_per_second: u32,
}

/// Of inference, management and metrics.
pub type Operations = [Operation; 3];

impl Default for Operation {
    fn default() -> Self {
        Self {
            origin_file: None,
            reload_seconds: 5,
            shadow_file: None,
            origin_slots: 50,
            selftest: SelfTest::Start,
            report: Report { enabled: false, path: "/cors/report".to_owned(), max_per_second: 50 },
        }
    }
}
