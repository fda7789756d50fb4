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

use crate::http::connection::{Guarded, Progress, head_too_slow};

/// The connection, to be read and written as any other.
pub(super) struct Connection {
    stream: TlsStream<Guarded<TcpStream>>,
    /// What is under way on it.
    pub(super) progress: Progress,
    /// HTTP/1.1 has lines to look at.
    has_lines: bool,
    /// Ready when the connection is to end; none when HTTP ends it itself.
    ended: Option<LocalBoxFuture<'static, ()>>,
}

/// After so long without a request and without a byte written, nobody is in the middle of something.
const QUIET: Duration = Duration::from_millis(500);

// === impl Connection ===

impl Connection {
    /// HTTP/1.1: the dispatcher knows when to end.
    pub(super) fn http1(stream: TlsStream<Guarded<TcpStream>>) -> Connection {
        let progress = stream.get_ref().0.progress().clone();
        progress.begin(false);
        Connection { stream, progress, has_lines: true, ended: None }
    }

    /// HTTP/2: after `stopping` it ends when it is quiet.
    pub(super) fn http2(
        stream: TlsStream<Guarded<TcpStream>>,
        stopping: impl Future<Output = ()> + 'static,
    ) -> Connection {
        let progress = stream.get_ref().0.progress().clone();
        progress.begin(true);
        let seen = progress.clone();
        let ended = async move {
            stopping.await;
            while !seen.is_quiet_for(QUIET) {
                sleep(QUIET / 2).await;
            }
        };
        Connection { stream, progress, has_lines: false, ended: Some(Box::pin(ended)) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.has_lines && self.progress.owes_an_answer() {
            let (answer, mut stream) = (head_too_slow(), Pin::new(&mut self.stream));
            let _sent = stream.as_mut().poll_write(context, answer.as_bytes());
            let _flushed = stream.poll_flush(context);
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            if self.has_lines {
                self.progress.refuse_bare_line_feed(&mut buffer.filled_mut()[before..]);
            } else {
                // Also what came together with the end of the handshake.
                self.progress.received();
            }
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
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
