//! The life of a running server: load, serve, drain, stop.
//!
//! The end has phases: `/ping` turns Unhealthy, so that a load balancer sends no more; the listeners
//! stop accepting and finish the requests in hand; the workers run what is queued and end. Every
//! phase is bounded.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::watch;

use super::startup::Summary;
use super::{Phase, Server, self_test, system_metrics};
use crate::cors_live::Watch;

/// The listeners have this long to finish the requests in hand.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// The workers have this long after that.
const WORKERS_TIMEOUT: Duration = Duration::from_secs(10);

/// The collector has this long to take the last spans.
const TRACES_TIMEOUT: Duration = Duration::from_secs(5);

/// A task that ends with the server.
struct Following(tokio::task::JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs the server to its end.
pub(super) async fn serve(server: Server) -> std::io::Result<()> {
    let Server {
        listeners,
        keys,
        registry,
        load,
        recorder,
        unpack_dir,
        metrics,
        tracer,
        system_metrics,
        tls,
        app,
        targets,
        phase,
        stop,
        reload,
        ..
    } = server;
    // Ends with this function.
    let _collecting = system_metrics.map(|(every, system)| system_metrics::run(every, system));
    let summary = Summary::of(&listeners, keys.as_ref(), tls.as_ref());
    let watch = Watch::new(Arc::clone(&app.state.cors));
    let _watching = Following(tokio::spawn(watch.follow(reload.subscribe())));
    let _following = tls.map(|tls| Following(tokio::spawn(tls.follow(reload.subscribe()))));
    let handles: Vec<_> = listeners.iter().map(|listener| listener.server.handle()).collect();
    let (servers, socket_files): (Vec<_>, Vec<_>) =
        listeners.into_iter().map(|each| (each.server, each.socket_file)).unzip();
    let serving = tokio::spawn(try_join_all(servers));

    let loading = {
        let registry = Arc::clone(&registry);
        let recorder = recorder.clone();
        tokio::task::spawn_blocking(move || {
            registry.load_all(load);
            if let Some(recorder) = recorder {
                recorder.started(&registry);
            }
        })
    };
    // Preflights need no model: they are answered from now on.
    let live = Arc::clone(&app.state.cors);
    let _asking = Following(tokio::spawn(self_test::run(targets, live)));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = loading => {
            summary.print(&registry);
            phase.send_replace(Phase::Serving);
        }
        ended = &mut serving => return result(ended),
        () = asked_to_stop(&stop) => {}
    }
    tokio::select! {
        ended = &mut serving => return result(ended),
        () = asked_to_stop(&stop) => {}
    }

    tracing::info!("stopping: what was accepted is answered first");
    phase.send_replace(Phase::Draining);
    registry.leave_service();
    let stopped = handles.iter().map(|handle| handle.stop(true));
    futures_util::future::join_all(stopped).await;
    let ended = result(serving.await);
    drop(socket_files);
    if let Some(recorder) = recorder {
        recorder.stopping(Arc::clone(&registry)).await;
    }
    let closing = tokio::task::spawn_blocking(move || {
        registry.close(WORKERS_TIMEOUT);
        metrics.end_logs();
        if let Some(tracer) = tracer {
            tracer.end(TRACES_TIMEOUT);
        }
    });
    closing.await.map_err(std::io::Error::other)?;
    drop(unpack_dir);
    // The keys opened this server; with it they go.
    drop(keys);
    phase.send_replace(Phase::Stopped);
    tracing::info!("Torchfront has stopped.");
    ended
}

async fn asked_to_stop(stop: &watch::Sender<bool>) {
    // The sender lives as long as this future: the wait ends with the wish only.
    let mut wish = stop.subscribe();
    let _stopped = wish.wait_for(|stop| *stop).await;
}

/// How the listeners ended.
fn result(ended: Result<std::io::Result<Vec<()>>, tokio::task::JoinError>) -> std::io::Result<()> {
    ended.map_err(std::io::Error::other)?.map(|_| ())
}
