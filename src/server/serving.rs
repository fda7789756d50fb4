//! What every listener's actix server is told, whatever its connections begin with.
//!
//! Called by `plain.rs` and `tls/listener.rs`.

use std::fmt::Debug;
use std::time::Duration;

use actix_http::{HttpServiceBuilder, KeepAlive, Request, Response};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{Service, ServiceFactory};
use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::AppConfig;

use super::listeners::Bounds;
use crate::http::connection::Stopping;

/// What one thread of a listener serves: an application of actix.
pub(super) trait Application<B: MessageBody + 'static>:
    ServiceFactory<
        Request,
        Config = AppConfig,
        Response = Response<B>,
        Error = Error,
        InitError = (),
        Future: 'static,
        Service: 'static,
    > + 'static
{
}

impl<A, B> Application<B> for A
where
    B: MessageBody + 'static,
    A: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = Response<B>,
            Error = Error,
            InitError = (),
            Future: 'static,
            Service: 'static,
        > + 'static,
{
}

/// The threads and sockets of a listener.
pub(super) fn server(bounds: &Bounds) -> ServerBuilder {
    Server::build()
        .workers(bounds.workers)
        .backlog(bounds.backlog)
        // One more than there are places, so that somebody can be told that there is none.
        .max_concurrent_connections(bounds.connections.total.saturating_add(1))
        .shutdown_timeout(bounds.shutdown_timeout.as_secs())
        .disable_signals()
}

/// HTTP on its connections. `keep_alive`: when actix ends one that is idle. Call it where tasks can be
/// spawned.
pub(super) fn http<T, S>(
    bounds: &Bounds,
    keep_alive: KeepAlive,
    stopping: &GracefulShutdownSignal,
) -> HttpServiceBuilder<T, S>
where
    S: ServiceFactory<
            Request,
            Config = (),
            Error: Into<Response<BoxBody>> + 'static,
            InitError: Debug,
            Service: Service<Request, Future: 'static>,
        >,
{
    let stopping = stopping.clone();
    let stopping = Stopping::at(async move { stopping.notified().await });
    HttpServiceBuilder::default()
        .graceful_shutdown_signal(move || stopping.told())
        .keep_alive(keep_alive)
        // Kept by `http/connection`, whose clock stands still when the thread does: nobody is refused
        // because this process was stopped.
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(bounds.linger)
        // A client that closes its end has gone away, as for nginx: nothing more is done for it.
        .h1_allow_half_closed(false)
}
