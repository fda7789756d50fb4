//! Assembly: the one place that knows every room.
//!
//! `Server::build` opens the addresses, `Server::run` loads the models and serves until it is
//! stopped. The phases of the end are in `shutdown.rs`.

mod app;
mod cors_source;
mod listeners;
mod plain;
mod self_test;
mod serving;
mod shutdown;
mod snapshots;
mod startup;
mod system_metrics;
mod tls;
mod unix_socket;
mod unpack_dir;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use app::{AppState, Role, create_app, create_service};
pub use listeners::ListenError;
pub use startup::{StartError, Summary};
pub use tls::TlsError;

use crate::auth::PublishedKeys;
use crate::config::Config;
use crate::engine::Engine;
use crate::handlers::Catalog;
use crate::metrics::{Metrics, SystemMetrics};
use crate::registry::{LoadRequest, Registry};
use crate::trace::Tracer;
use listeners::Listener;
use self_test::Target;
use snapshots::Recorder;
use tls::Tls;
use unpack_dir::UnpackDir;

/// An inference server whose addresses are open.
pub struct Server {
    listeners: Vec<Listener>,
    /// None when clients need no token.
    keys: Option<PublishedKeys>,
    registry: Arc<Registry>,
    app: AppState,
    /// The listeners, for `cors.selftest`.
    targets: Vec<Target>,
    load: Vec<LoadRequest>,
    /// None when no snapshots are written.
    recorder: Option<Arc<Recorder>>,
    unpack_dir: UnpackDir,
    /// None when no address is `https://`.
    tls: Option<Tls>,
    metrics: Metrics,
    /// None when OpenTelemetry is off.
    tracer: Option<Tracer>,
    /// The collector of the machine's metrics, and how often it is asked.
    system_metrics: Option<(Duration, SystemMetrics)>,
    phase: watch::Sender<Phase>,
    stop: Arc<watch::Sender<bool>>,
    /// Changes with every wish to read files again.
    reload: Arc<watch::Sender<u64>>,
}

/// What an embedding program brings of its own.
#[derive(Default)]
pub struct Parts {
    /// Runs the models; none for libtorch.
    pub engine: Option<Arc<dyn Engine>>,
    /// Handlers beside the built-in ones.
    pub handlers: Catalog,
}

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The addresses are open, models are being loaded; `/ping` says Unhealthy.
    Loading,
    /// Every model of the start has been tried.
    Serving,
    /// Nothing new is accepted, what was accepted is being answered.
    Draining,
    /// All workers have ended.
    Stopped,
}

/// Stops a server, and tells where it is in its life. Cheap to clone.
#[derive(Clone)]
pub struct ServerHandle {
    stop: Arc<watch::Sender<bool>>,
    reload: Arc<watch::Sender<u64>>,
    phase: watch::Receiver<Phase>,
}

// === impl Server ===

impl Server {
    /// Opens the addresses of `config`. Call it in a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]: an address is taken, a GPU was asked for that is not there, the key file
    /// cannot be written.
    pub fn build(config: Config) -> Result<Server, StartError> {
        Server::build_with(config, Parts::default())
    }

    /// As [`Server::build`], with parts of the embedding program.
    ///
    /// # Errors
    /// As [`Server::build`].
    pub fn build_with(config: Config, parts: Parts) -> Result<Server, StartError> {
        startup::build(config, parts)
    }

    /// The socket addresses of a listener; none for a Unix socket or a listener that is off.
    pub fn addresses(&self, role: Role) -> &[SocketAddr] {
        let listener = self.listeners.iter().find(|listener| listener.role == role);
        listener.map_or(&[], |listener| &listener.addresses)
    }

    /// Stops the server from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle {
            stop: Arc::clone(&self.stop),
            reload: Arc::clone(&self.reload),
            phase: self.phase.subscribe(),
        }
    }

    /// The models.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What its applications share: for a program that serves one itself, with [`create_service`].
    pub fn app(&self) -> &AppState {
        &self.app
    }

    /// Loads the models and serves until [`ServerHandle::stop`]; then everything that was accepted
    /// is answered.
    ///
    /// # Errors
    /// The operating system's, when a listener fails.
    pub async fn run(self) -> std::io::Result<()> {
        shutdown::serve(self).await
    }
}

// === impl ServerHandle ===

impl ServerHandle {
    /// Asks the server to stop; `run` returns when it has.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Asks the server to read again what may change while it runs: the certificate and the CORS
    /// policies. What cannot be used is said in the log, and what is in force stays.
    pub fn reload(&self) {
        self.reload.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// True when the server is in `phase` or a later one.
    pub fn has_reached(&self, phase: Phase) -> bool {
        *self.phase.borrow() >= phase
    }

    /// Waits until the server is in `phase` or a later one.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the server is gone: later than any phase.
        let _gone = self.phase.wait_for(|now| *now >= phase).await;
    }
}
