//! A renewed certificate takes effect while the server runs: new connections are shown the new one,
//! those that are open go on.
//!
//! Looked for every [`EVERY`], and at once when a reload is asked for (SIGHUP). Two files are never
//! replaced in one moment: changed ones are read when they have stood still from one look to the
//! next. What cannot be used is said in the log, and the certificate in force stays.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::identity::{self, Loaded};
use super::{Tls, TlsError};
use crate::config::TlsIdentity;

/// The files as the system describes them: another file, or another content, has another stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<FileStamp>>);

/// Device, inode, length, and the times of the last change of content and of anything.
type FileStamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// Between two looks at the files.
const EVERY: Duration = Duration::from_secs(10);

/// Why the files are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Routine,
    Asked,
}

// === impl Tls ===

impl Tls {
    /// Follows the files until the task is dropped; `asked` changes when a reload is asked for.
    pub(in crate::server) async fn follow(mut self, mut asked: watch::Receiver<u64>) {
        let mut seen = self.stamp.clone();
        loop {
            let occasion = tokio::select! {
                () = tokio::time::sleep(EVERY) => Occasion::Routine,
                changed = asked.changed() => match changed {
                    Ok(()) => Occasion::Asked,
                    // Nobody can ask any more: the server is gone.
                    Err(_) => return,
                },
            };
            // Reading files may block.
            let looked = tokio::task::spawn_blocking(move || {
                let seen = self.look(seen, occasion);
                (self, seen)
            });
            match looked.await {
                Ok((tls, stamp)) => (self, seen) = (tls, stamp),
                Err(error) => {
                    tracing::error!(%error, "the certificate is not followed any more");
                    return;
                }
            }
        }
    }

    /// One look; gives what it saw.
    fn look(&mut self, seen: Option<Stamp>, occasion: Occasion) -> Option<Stamp> {
        let now = Stamp::of(&self.source);
        let stands_still = now == seen || occasion == Occasion::Asked;
        let changed = now != self.stamp || occasion == Occasion::Asked;
        if now.is_some() && changed && stands_still {
            self.stamp.clone_from(&now);
            self.renew();
        }
        now
    }

    fn renew(&self) {
        match self.read_again() {
            Ok(Loaded { key, warnings }) => {
                let same = key.cert == self.current.0.load().cert;
                self.current.0.store(Arc::new(key));
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                match same {
                    true => tracing::info!("the certificate is the same as before"),
                    false => tracing::info!("new connections are shown the renewed certificate"),
                }
            }
            Err(error) => tracing::error!(
                "the renewed certificate cannot be used, the one before stays in force: {error}"
            ),
        }
    }

    fn read_again(&self) -> Result<Loaded, TlsError> {
        identity::load(&self.source, &self.names, &self.provider)
    }
}

// === impl Stamp ===

impl Stamp {
    /// None when there are no files.
    pub(super) fn of(source: &TlsIdentity) -> Option<Stamp> {
        let files: &[&Path] = match source {
            TlsIdentity::SelfSigned => return None,
            TlsIdentity::Pem { private_key_file, certificate_file } => {
                &[private_key_file, certificate_file]
            }
            TlsIdentity::Pkcs12 { keystore, .. } => &[keystore],
        };
        Some(Stamp(files.iter().map(|file| file_stamp(file)).collect()))
    }
}

/// None for a file that is not there. Links are followed: an orchestrator replaces the link.
fn file_stamp(file: &Path) -> Option<FileStamp> {
    let found = std::fs::metadata(file).ok()?;
    let content = (found.mtime(), found.mtime_nsec());
    let anything = (found.ctime(), found.ctime_nsec());
    Some((found.dev(), found.ino(), found.len(), content, anything))
}
