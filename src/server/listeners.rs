//! Opens the addresses: each listener is an actix server of its own.
//!
//! Called by `mod.rs` once the configuration is known to be sound and before any model is loaded. An
//! address that cannot be opened is an error that names its key.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::HttpServer;
use actix_web::dev::Server as ActixServer;

use super::app::{AppState, Role, create_service};
use super::unix_socket::{self, SocketFile};
use crate::config::{Config, ListenAddress};
use crate::engine::{available_cores, run_in_short_slices};

/// An open listener that does not serve yet.
pub(super) struct Listener {
    pub(super) role: Role,
    pub(super) addresses: Vec<SocketAddr>,
    /// As the configuration has it, with the port that was really taken.
    pub(super) shown: String,
    pub(super) server: ActixServer,
    /// Removed when the listener has ended; none for TCP.
    pub(super) socket_file: Option<SocketFile>,
}

/// An address could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {address} cannot be opened: {reason}")]
pub struct ListenError {
    /// The configuration key.
    pub key: &'static str,
    /// Its value.
    pub address: String,
    /// What the system says, and what to do.
    pub reason: String,
}

/// A client has this long to send its request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// An idle connection is kept this long.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// After an early answer (413, 403) the rest of the body is read and dropped for this long, so that
/// the client reads the answer instead of a reset.
const LINGER: Duration = Duration::from_secs(2);
/// Waiting connections that the kernel keeps.
const BACKLOG: u32 = 2048;

/// Opens every address of the configuration.
///
/// # Errors
/// [`ListenError`] for the first address that cannot be opened; the others are closed again.
pub(super) fn open(
    config: &Config,
    app: &AppState,
    shutdown_timeout: Duration,
) -> Result<Vec<Listener>, ListenError> {
    let cores = available_cores().get();
    let workers = config.http_workers.map_or(cores, std::num::NonZeroUsize::get);
    let mut listeners = Vec::new();
    // Two ports that the system chooses are two listeners.
    if config.inference == config.management && config.inference.collides(&config.management) {
        let role = Role::InferenceAndManagement;
        listeners.push((role, "inference_address", &config.inference, workers));
    } else {
        listeners.push((Role::Inference, "inference_address", &config.inference, workers));
        listeners.push((Role::Management, "management_address", &config.management, 1));
    }
    if config.enable_metrics_api {
        listeners.push((Role::Metrics, "metrics_address", &config.metrics, 1));
    }
    let open = |(role, key, address, workers)| {
        open_one(role, address, workers, app, config.unix_socket_mode, shutdown_timeout)
            .map_err(|error| explain(key, address, &error))
    };
    listeners.into_iter().map(open).collect()
}

fn open_one(
    role: Role,
    address: &ListenAddress,
    workers: usize,
    app: &AppState,
    socket_mode: u32,
    shutdown_timeout: Duration,
) -> io::Result<Listener> {
    let app = app.clone();
    // Called by each of its threads, once.
    let service = move || {
        run_in_short_slices();
        create_service(role, &app)
    };
    let server = HttpServer::new(service)
        .workers(workers)
        .backlog(BACKLOG)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(LINGER)
        // A client that closes its end has gone away, as for nginx: nothing more is done for it.
        .h1_allow_half_closed(false)
        .shutdown_timeout(shutdown_timeout.as_secs())
        .disable_signals();
    let (server, socket_file) = match address {
        ListenAddress::Tcp { host, port, .. } => (server.bind((host.as_str(), *port))?, None),
        ListenAddress::Unix(path) => {
            let (listener, file) = unix_socket::open(path, socket_mode, BACKLOG)?;
            (server.listen_uds(listener)?, Some(file))
        }
    };
    let addresses = server.addrs();
    let shown = match (address, addresses.first()) {
        (ListenAddress::Tcp { port: 0, .. }, Some(taken)) => format!("http://{taken}"),
        _ => address.to_string(),
    };
    Ok(Listener { role, addresses, shown, server: server.run(), socket_file })
}

fn explain(key: &'static str, address: &ListenAddress, error: &io::Error) -> ListenError {
    let is_socket = matches!(address, ListenAddress::Unix(_));
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse if is_socket => {
            "another program listens there; stop it or choose another path".to_owned()
        }
        io::ErrorKind::PermissionDenied if is_socket => {
            format!("{error}; choose a folder in which this user can make files")
        }
        io::ErrorKind::NotFound if is_socket => {
            format!("{error}; make its folder first, or choose another path")
        }
        io::ErrorKind::AddrInUse => {
            "another program listens there; stop it or choose another port".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("{error}; ports below 1024 need a privilege, choose a higher one")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{error}; this machine has no such address, 127.0.0.1 always exists")
        }
        _ => error.to_string(),
    };
    ListenError { key, address: address.to_string(), reason }
}
