//! One TLS connection, and its end when the server stops.
//!
//! actix closes idle HTTP/1.1 connections at a stop, and waits for every HTTP/2 connection until its
//! client goes: a browser that shows a page would hold the stop until the drain's end. So an HTTP/2
//! connection reads its own end as soon as nothing is under way on it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;

use super::stream_limits::Streams;

/// The connection, to be read and written as any other.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    /// What is under way on it.
    pub(super) streams: Streams,
    /// Ready when the connection is to end; none when HTTP ends it itself.
    ended: Option<LocalBoxFuture<'static, ()>>,
}

/// After so long without a request and without a byte written, nobody is in the middle of something.
const QUIET: Duration = Duration::from_millis(500);

// === impl Connection ===

impl Connection {
    /// HTTP/1.1: the dispatcher knows when to end.
    pub(super) fn http1(stream: TlsStream<TcpStream>) -> Connection {
        Connection { stream, streams: Streams::default(), ended: None }
    }

    /// HTTP/2: after `stopping` it ends when it is quiet.
    pub(super) fn http2(
        stream: TlsStream<TcpStream>,
        stopping: impl Future<Output = ()> + 'static,
    ) -> Connection {
        let streams = Streams::default();
        let seen = streams.clone();
        let ended = async move {
            stopping.await;
            while !seen.are_quiet_for(QUIET) {
                sleep(QUIET).await;
            }
        };
        Connection { stream, streams, ended: Some(Box::pin(ended)) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            return Poll::Ready(read);
        }
        let Some(ended) = &mut self.ended else { return Poll::Pending };
        ready!(ended.as_mut().poll(context));
        // Asked again, it says the same.
        self.ended = Some(Box::pin(std::future::ready(())));
        // Nothing is filled in: the end.
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.streams.wrote();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.streams.wrote();
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
