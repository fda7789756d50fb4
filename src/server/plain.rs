//! What an `http://` or `unix:` listener does with a connection: gives it a place, and serves
//! HTTP/1.1 on it.
//!
//! Called by `listeners.rs`. Who gets no place is told so, in plain HTTP.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, Protocol, Request, Response};
use actix_service::{ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server};
use futures_util::future::ready;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::listeners::Bounds;
use crate::http::connection::{Admission, ConnectionBounds, Full, Guarded, Limits};

/// A connection that was accepted.
trait Accepted: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Its other end; none for a Unix socket.
    fn client(&self) -> Option<SocketAddr>;

    /// For what tokio cannot do before it has heard of the socket.
    fn descriptor(&self) -> BorrowedFd<'_>;
}

/// For who gets no place.
const FULL: &str = "{\n  \"code\": 503,\n  \"type\": \"ServiceUnavailableException\",\n  \
    \"message\": \"Too many connections; close some, or try again later\"\n}\n";

/// Serves TCP sockets with what `service` makes, once for each thread.
///
/// # Errors
/// The operating system's.
pub(super) fn serve<F, S, B>(
    sockets: Vec<TcpListener>,
    bounds: &Bounds,
    service: F,
) -> io::Result<Server>
where
    F: Fn() -> S + Send + Clone + 'static,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = Response<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    S::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let mut builder = Server::build()
        .workers(bounds.workers)
        .backlog(bounds.backlog)
        .max_concurrent_connections(bounds.connections.total.saturating_add(1))
        .shutdown_timeout(bounds.shutdown_timeout.as_secs())
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let (connections, linger, admission) = (bounds.connections, bounds.linger, bounds.admission());
    let factory = move || {
        let stopping = stopping.clone();
        let stopping = move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        };
        connection::<TcpStream, _, _, _, _>(service(), stopping, connections, linger, &admission)
    };
    for socket in sockets {
        builder = builder.listen("http", socket, factory.clone())?;
    }
    Ok(builder.run())
}

/// The same on a Unix socket.
///
/// # Errors
/// The operating system's.
pub(super) fn serve_unix<F, S, B>(
    socket: UnixListener,
    bounds: &Bounds,
    service: F,
) -> io::Result<Server>
where
    F: Fn() -> S + Send + Clone + 'static,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = Response<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    S::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let builder = Server::build()
        .workers(bounds.workers)
        .max_concurrent_connections(bounds.connections.total.saturating_add(1))
        .shutdown_timeout(bounds.shutdown_timeout.as_secs())
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let (connections, linger, admission) = (bounds.connections, bounds.linger, bounds.admission());
    let factory = move || {
        let stopping = stopping.clone();
        let stopping = move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        };
        connection::<UnixStream, _, _, _, _>(service(), stopping, connections, linger, &admission)
    };
    Ok(builder.listen_uds("unix", socket, factory)?.run())
}

/// What one thread does with a connection.
fn connection<T, S, B, Stopping, Stop>(
    service: S,
    stopping: Stopping,
    bounds: ConnectionBounds,
    linger: Duration,
    admission: &Arc<Admission>,
) -> impl ServiceFactory<T, Config = (), Response = (), Error = (), InitError = ()>
+ use<T, S, B, Stopping, Stop>
where
    T: Accepted,
    Stopping: Fn() -> Stop + 'static,
    Stop: Future<Output = ()> + 'static,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = Response<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    S::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let application =
        map_config(service, |()| AppConfig::default()).map_err(|error| error.error_response());
    let http = HttpService::<_, _, B>::build()
        .graceful_shutdown_signal(stopping)
        .keep_alive(bounds.keep_alive)
        .client_request_timeout(bounds.head_timeout)
        .client_disconnect_timeout(linger)
        // A client that closes its end has gone away, as for nginx: nothing more is done for it.
        .h1_allow_half_closed(false)
        .on_connect_ext(|connection: &Guarded<T>, extensions| {
            extensions.insert(connection.progress().clone());
        })
        .finish(application)
        .map_err(|error| tracing::debug!(%error, "a connection ended"));
    let (admission, limits) = (Arc::clone(admission), Limits::from(&bounds));
    fn_service(move |stream: T| {
        let client = stream.client();
        ready(match admission.enter(client.map(|client| client.ip())) {
            Ok(place) => Ok((Guarded::plain(stream, place, limits), Protocol::Http1, client)),
            Err(full) => {
                refuse(&stream, full);
                Err(())
            }
        })
    })
    .and_then(http)
}

/// Tells a client that there is no place. It costs one write, and the connection is closed.
fn refuse(stream: &impl Accepted, full: Full) {
    tracing::debug!(%full, "a connection was refused");
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{FULL}",
        FULL.len()
    );
    // What is not read when the socket is closed would reset the connection, and the answer with it.
    let _read = recv(stream.descriptor(), &mut [0; 4096], RecvFlags::DONTWAIT);
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let _sent = send(stream.descriptor(), answer.as_bytes(), flags);
}

impl Accepted for TcpStream {
    fn client(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Accepted for UnixStream {
    fn client(&self) -> Option<SocketAddr> {
        None
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}
