//! Follows the files of allow-lists and candidates.
//!
//! Each file is opened by its name at every look, so that it may be replaced in any way: written
//! again, renamed over, or by a link that changes (a ConfigMap of Kubernetes). What counts is the
//! content: a file that is touched changes nothing. A file that was changed a moment ago is read when
//! it has stood still; who writes a list should write it elsewhere and rename it.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::LiveCors;
use super::change::Trigger;
use crate::cors::{Disk, Files, Listener};

/// Follows files for as long as it lives.
pub struct Watch {
    live: Arc<LiveCors>,
    /// The files as they were looked at last.
    seen: HashMap<PathBuf, Option<Stamp>>,
    /// When each listener's files are looked at next.
    due: [Instant; 3],
}

/// Device, inode, length, and the times of the last change of content and of anything. None for a
/// file that is not there.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// A file that changes must stand still for so long.
const STILL: Duration = Duration::from_millis(100);
/// Where no file is followed, new settings are looked for after so long.
const IDLE: Duration = Duration::from_secs(5);

// === impl Watch ===

impl Watch {
    /// Follows the files of these policies.
    pub fn new(live: Arc<LiveCors>) -> Self {
        Self { live, seen: HashMap::new(), due: [Instant::now(); 3] }
    }

    /// Follows until the task is dropped. When `asked` changes, the whole configuration is read again.
    pub async fn follow(mut self, mut asked: watch::Receiver<u64>) {
        loop {
            let due = self.due.iter().min().copied().unwrap_or_else(Instant::now);
            let is_asked = tokio::select! {
                () = tokio::time::sleep_until(due.into()) => false,
                changed = asked.changed() => match changed {
                    Ok(()) => true,
                    // Nobody can ask any more: the server is gone.
                    Err(_) => return,
                },
            };
            // Reading and compiling may take their time.
            let looked = tokio::task::spawn_blocking(move || {
                if is_asked {
                    self.live.reload(Trigger::Signal);
                }
                self.look();
                self
            });
            match looked.await {
                Ok(watch) => self = watch,
                Err(error) => {
                    tracing::error!(%error, "files of CORS origins are not followed any more");
                    return;
                }
            }
        }
    }

    /// One look at the files that are due.
    fn look(&mut self) {
        let now = Instant::now();
        let mut concerns = Vec::new();
        let operations = self.live.operations();
        for (listener, operation) in Listener::ALL.into_iter().zip(&operations) {
            let due = &mut self.due[listener as usize];
            if now < *due {
                continue;
            }
            let files = operation.origin_file.iter().map(|file| &file.path);
            let files: Vec<&PathBuf> = files.chain(&operation.shadow_file).collect();
            if files.is_empty() || operation.reload_seconds == 0 {
                *due = now + IDLE;
                continue;
            }
            *due = now + Duration::from_secs(operation.reload_seconds.into());
            for file in files {
                if self.has_changed(file) && !concerns.contains(&listener) {
                    concerns.push(listener);
                }
            }
        }
        if !concerns.is_empty() {
            self.live.reread_files(concerns);
        }
    }

    /// True when a file has another content than the policies in force were made from.
    fn has_changed(&mut self, file: &Path) -> bool {
        let stamp = stamp(file);
        if self.seen.get(file) == Some(&stamp) {
            return false;
        }
        std::thread::sleep(STILL);
        if self::stamp(file) != stamp {
            // It is being written: the next look will find it.
            return false;
        }
        self.seen.insert(file.to_owned(), stamp);
        let known = self.live.state().current.files.text(file).cloned();
        match (Disk.read(file), known) {
            (Ok(text), Some(known)) => text != known,
            // Not there: said once, and the list in force stays.
            (Ok(_), None) | (Err(_), _) => true,
        }
    }
}

/// Links are followed.
fn stamp(file: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(file).ok()?;
    let content = (found.mtime(), found.mtime_nsec());
    let anything = (found.ctime(), found.ctime_nsec());
    Some((found.dev(), found.ino(), found.len(), content, anything))
}
