//! What one `https://` listener does with a connection: handshake, then HTTP/2 or HTTP/1.1.
//!
//! Called by `listeners.rs`. Who speaks plain HTTP here is told so in plain HTTP (TorchServe's words),
//! instead of being shown a TLS alert that no client can explain.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::Protocol;
use actix_server::Server;
use actix_service::{ServiceFactoryExt, fn_service, map_config};
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::AppConfig;
use futures_util::TryFutureExt;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;
use super::stream_limits::{CountedBody, StreamLimits};
use crate::http::connection::{Admission, Guarded, Limits, Place};
use crate::server::listeners::Bounds;
use crate::server::serving::{self, Application};

/// Bytes that are read from who speaks plain HTTP, so that the answer is not lost in a reset.
const MAX_PLAIN: u64 = 64 << 10;
/// How long they are waited for.
const PLAIN_LINGER: Duration = Duration::from_secs(1);

/// Serves `sockets` over TLS with what `service` makes, once for each thread.
///
/// # Errors
/// The operating system's.
pub(in crate::server) fn serve<F, A, B>(
    sockets: Vec<TcpListener>,
    config: ServerConfig,
    bounds: &Bounds,
    service: F,
) -> io::Result<Server>
where
    F: Fn() -> A + Send + Clone + 'static,
    A: Application<B>,
    B: MessageBody + 'static,
{
    let mut builder = serving::server(bounds);
    let (stopping, bounds, admission) =
        (builder.graceful_shutdown_signal(), *bounds, bounds.admission());
    let limits = Limits::from(&bounds.connections);
    let head_timeout = bounds.connections.head_timeout;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let factory = move || {
        let application = map_config(service(), |()| AppConfig::default())
            .map_err(|error| error.error_response());
        // An HTTP/2 client that is gone is found by a ping at this time.
        let keep_alive = bounds.connections.keep_alive.into();
        let http = serving::http(&bounds, keep_alive, &stopping)
            .on_connect_ext(|connection: &Connection, extensions| {
                extensions.insert(connection.progress.clone());
            })
            .finish::<_, EitherBody<CountedBody<B>>>(StreamLimits(application))
            .map_err(|error| tracing::debug!(%error, "an HTTPS connection ended"));
        let (acceptor, admission, stopping) =
            (acceptor.clone(), Arc::clone(&admission), stopping.clone());
        fn_service(move |stream: TcpStream| {
            let (acceptor, stopping) = (acceptor.clone(), stopping.clone());
            let place = admit(&stream, &admission);
            async move {
                let place = place?;
                let stream = timeout(head_timeout, refuse_plain_http(stream)).await??;
                let stopping = async move { stopping.notified().await };
                open(stream, place, limits, acceptor, stopping).await
            }
            // Scans, and clients that do not trust the certificate: no matter of this server.
            .map_err(|error| tracing::debug!(%error, "no TLS connection"))
        })
        .and_then(http)
    };
    for socket in sockets {
        builder = builder.listen("https", socket, factory.clone())?;
    }
    Ok(builder.run())
}

/// Who gets no place is not worth a handshake: the connection is closed.
fn admit(stream: &TcpStream, admission: &Arc<Admission>) -> io::Result<Place> {
    let client = stream.peer_addr()?.ip();
    admission.enter(Some(client)).map_err(io::Error::other)
}

/// The handshake. It has the time of a request head; an end is read then.
async fn open(
    stream: TcpStream,
    place: Place,
    limits: Limits,
    acceptor: TlsAcceptor,
    stopping: impl Future<Output = ()> + 'static,
) -> io::Result<(Connection, Protocol, Option<SocketAddr>)> {
    let peer = stream.peer_addr().ok();
    // Answers are written whole: nothing is gained by waiting for more.
    stream.set_nodelay(true)?;
    let stream = Guarded::tls(stream, place, limits);
    let stream = acceptor.accept(stream).await?;
    Ok(match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => (Connection::http2(stream, stopping), Protocol::Http2, peer),
        _ => (Connection::http1(stream), Protocol::Http1, peer),
    })
}

/// An error when the first byte begins the name of a method; the client has been told then.
async fn refuse_plain_http(mut stream: TcpStream) -> io::Result<TcpStream> {
    let mut first = [0];
    let seen = stream.peek(&mut first).await?;
    // A handshake record begins with 22.
    if seen == 0 || !first[0].is_ascii_alphabetic() {
        return Ok(stream);
    }
    let body = "{\n  \"status\": \"This Torchfront instance only accepts HTTPS requests\"\n}\n";
    let head = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(MAX_PLAIN);
    let _lingered = timeout(PLAIN_LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    Err(io::Error::other("a client spoke plain HTTP"))
}
