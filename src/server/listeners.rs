//! Opens the addresses: each listener is an actix server of its own.
//!
//! Called by `mod.rs` once the configuration is known to be sound and before any model is loaded. An
//! address that cannot be opened is an error that names its key.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server as ActixServer;
use tokio::net::TcpSocket;

use super::app::{AppState, Role, create_service};
use super::plain;
use super::tls::{self, Tls};
use super::unix_socket::{self, SocketFile};
use crate::config::{self, Config, ListenAddress};
use crate::engine::{available_cores, enter_reactor};
use crate::http::connection::{Admission, ConnectionBounds};

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

/// What every listener keeps its clients to.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Threads.
    pub(super) workers: usize,
    /// Waiting connections that the kernel keeps.
    pub(super) backlog: u32,
    pub(super) connections: ConnectionBounds,
    /// The rest of a body that nobody wants is read for this long.
    pub(super) linger: Duration,
    /// Requests in hand have this long when the server stops.
    pub(super) shutdown_timeout: Duration,
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
    tls: Option<&Tls>,
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
        let bounds = Bounds {
            workers,
            backlog: BACKLOG,
            connections: connection_bounds(&config.connections),
            linger: LINGER,
            shutdown_timeout,
        };
        open_one(role, address, &bounds, app, tls, config.unix_socket_mode)
            .map_err(|error| explain(key, address, &error))
    };
    listeners.into_iter().map(open).collect()
}

fn connection_bounds(config: &config::ConnectionBounds) -> ConnectionBounds {
    ConnectionBounds {
        total: config.total,
        per_address: config.per_address.map(std::num::NonZeroUsize::get),
        head_timeout: config.head_timeout,
        write_timeout: config.write_timeout,
        write_min_rate: config.write_min_rate,
        keep_alive: config.keep_alive,
        streams: config.streams,
    }
}

fn open_one(
    role: Role,
    address: &ListenAddress,
    bounds: &Bounds,
    app: &AppState,
    tls: Option<&Tls>,
    socket_mode: u32,
) -> io::Result<Listener> {
    let app = app.clone();
    // Called by each of its threads, again where actix starts a service anew.
    let service = move || {
        enter_reactor();
        create_service(role, &app)
    };
    if let (ListenAddress::Tcp { host, port, .. }, true, Some(tls)) =
        (address, address.is_tls(), tls)
    {
        let sockets = bind_all(host, *port, bounds.backlog)?;
        let addresses =
            sockets.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let config = tls.server_config().map_err(io::Error::other)?;
        let server = tls::serve(sockets, config, bounds, service)?;
        let shown = shown(address, &addresses);
        return Ok(Listener { role, addresses, shown, server, socket_file: None });
    }
    let (server, addresses, socket_file) = match address {
        ListenAddress::Tcp { host, port, .. } => {
            let sockets = bind_all(host, *port, bounds.backlog)?;
            let addresses: Result<Vec<_>, _> =
                sockets.iter().map(TcpListener::local_addr).collect();
            (plain::serve(sockets, bounds, service)?, addresses?, None)
        }
        ListenAddress::Unix(path) => {
            let (listener, file) = unix_socket::open(path, socket_mode, bounds.backlog)?;
            (plain::serve_unix(listener, bounds, service)?, Vec::new(), Some(file))
        }
    };
    let shown = shown(address, &addresses);
    Ok(Listener { role, addresses, shown, server, socket_file })
}

/// The address with the port that was really taken.
fn shown(address: &ListenAddress, taken: &[SocketAddr]) -> String {
    let scheme = if address.is_tls() { "https" } else { "http" };
    match (address, taken.first()) {
        (ListenAddress::Tcp { port: 0, .. }, Some(taken)) => format!("{scheme}://{taken}"),
        _ => address.to_string(),
    }
}

/// Listens on every address that a host's name stands for, as `HttpServer::bind` does: one that is
/// taken or not this machine's does not matter as long as another is free.
fn bind_all(host: &str, port: u16, backlog: u32) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::new();
    let mut refused = None;
    for address in (host, port).to_socket_addrs()? {
        match bind_one(address, backlog) {
            Ok(socket) => sockets.push(socket),
            Err(error) => refused = Some(error),
        }
    }
    if sockets.is_empty() {
        return Err(refused.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
    }
    Ok(sockets)
}

fn bind_one(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)?.into_std()
}

impl Bounds {
    /// Places for the connections of one listener.
    pub(super) fn admission(&self) -> Arc<Admission> {
        Admission::new(self.connections.total, self.connections.per_address)
    }
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
