//! What an `http://` or `unix:` listener does with a connection: gives it a place, and serves
//! HTTP/1.1 on it, but for the preflights that come first.
//!
//! Called by `listeners.rs`. Who gets no place is told so, in plain HTTP.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use actix_http::{KeepAlive, Protocol};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use futures_util::future::ready;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::listeners::Bounds;
use super::serving::{self, Application};
use crate::http::connection::{Admission, Full, Guarded, Limits, no_place};
use crate::http::{FastPathStream, PreflightGate};

/// A connection that was accepted.
trait Accepted: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Its other end; none for a Unix socket.
    fn client(&self) -> Option<SocketAddr>;

    /// Answers are written whole: nothing is gained by waiting for more, and the end of a large one
    /// would wait for the client's acknowledgement.
    fn send_at_once(&self) -> io::Result<()>;

    /// For what tokio cannot do before it has heard of the socket.
    fn descriptor(&self) -> BorrowedFd<'_>;
}

/// Serves TCP sockets with what `service` makes, once for each thread.
///
/// # Errors
/// The operating system's.
pub(super) fn serve<F, A, B>(
    sockets: Vec<TcpListener>,
    bounds: &Bounds,
    service: F,
) -> io::Result<Server>
where
    F: Fn() -> PreflightGate<A> + Send + Clone + 'static,
    PreflightGate<A>: Application<B>,
    B: MessageBody + 'static,
{
    let mut builder = serving::server(bounds);
    let (stopping, bounds, admission) =
        (builder.graceful_shutdown_signal(), *bounds, bounds.admission());
    let factory = move || connection::<TcpStream, _, _>(service(), &stopping, &bounds, &admission);
    for socket in sockets {
        builder = builder.listen("http", socket, factory.clone())?;
    }
    Ok(builder.run())
}

/// The same on a Unix socket.
///
/// # Errors
/// The operating system's.
pub(super) fn serve_unix<F, A, B>(
    socket: UnixListener,
    bounds: &Bounds,
    service: F,
) -> io::Result<Server>
where
    F: Fn() -> PreflightGate<A> + Send + Clone + 'static,
    PreflightGate<A>: Application<B>,
    B: MessageBody + 'static,
{
    let builder = serving::server(bounds);
    let (stopping, bounds, admission) =
        (builder.graceful_shutdown_signal(), *bounds, bounds.admission());
    let factory = move || connection::<UnixStream, _, _>(service(), &stopping, &bounds, &admission);
    Ok(builder.listen_uds("unix", socket, factory)?.run())
}

/// What one thread does with a connection.
fn connection<T, A, B>(
    gate: PreflightGate<A>,
    stopping: &GracefulShutdownSignal,
    bounds: &Bounds,
    admission: &Arc<Admission>,
) -> impl ServiceFactory<T, Config = (), Response = (), Error = (), InitError = ()> + use<T, A, B>
where
    T: Accepted,
    PreflightGate<A>: Application<B>,
    B: MessageBody + 'static,
{
    let fast_path = gate.fast_path();
    let application =
        map_config(gate, |()| AppConfig::default()).map_err(|error| error.error_response());
    // `http/connection` ends those that are idle: a timer of actix would be made for each request.
    let http = serving::http(bounds, KeepAlive::Os, stopping)
        .on_connect_ext(|connection: &FastPathStream<Guarded<T>>, extensions| {
            extensions.insert(connection.get_ref().progress().clone());
        })
        .finish::<_, B>(application)
        .map_err(|error| tracing::debug!(%error, "a connection ended"));
    let (admission, limits) = (Arc::clone(admission), Limits::from(&bounds.connections));
    fn_service(move |stream: T| {
        let client = stream.client();
        if let Err(error) = stream.send_at_once() {
            tracing::debug!(%error, "a connection ended before it was served");
            return ready(Err(()));
        }
        ready(match admission.enter(client.map(|client| client.ip())) {
            Ok(place) => {
                let stream = Guarded::plain(stream, place, limits);
                let stream = FastPathStream::new(stream, client, fast_path.clone());
                Ok((stream, Protocol::Http1, client))
            }
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
    // What is not read when the socket is closed would reset the connection, and the answer with it.
    let _read = recv(stream.descriptor(), &mut [0; 4096], RecvFlags::DONTWAIT);
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let _sent = send(stream.descriptor(), no_place().as_bytes(), flags);
}

impl Accepted for TcpStream {
    fn client(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }

    fn send_at_once(&self) -> io::Result<()> {
        self.set_nodelay(true)
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Accepted for UnixStream {
    fn client(&self) -> Option<SocketAddr> {
        None
    }

    fn send_at_once(&self) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}
