//! A connection whose first preflights never reach who reads it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::FastPath;

/// The connection, to be read and written as any other.
pub struct FastPathStream<T> {
    stream: T,
    client: Option<SocketAddr>,
    /// None as soon as the reader has had something.
    path: Option<FastPath>,
    /// What the client has not taken of an answer.
    unsent: Bytes,
}

// === impl FastPathStream ===

impl<T> FastPathStream<T> {
    /// `path`: none leaves all to the reader. `client`: its other end, for the log.
    pub fn new(stream: T, client: Option<SocketAddr>, path: Option<FastPath>) -> FastPathStream<T> {
        FastPathStream { stream, client, path, unsent: Bytes::new() }
    }

    /// The connection below.
    pub fn get_ref(&self) -> &T {
        &self.stream
    }
}

impl<T: AsyncWrite + Unpin> FastPathStream<T> {
    /// Ready when nothing of an answer is left to send.
    fn send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.unsent.has_remaining() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.unsent))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(written);
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for FastPathStream<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some(path) = &this.path {
            if !this.unsent.is_empty() {
                ready!(this.send(context))?;
                continue;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let Some(answer) = path.answer(&buffer.filled()[before..], this.client) else {
                this.path = None;
                return Poll::Ready(Ok(()));
            };
            buffer.set_filled(before);
            // Nearly always the socket takes all of it at once, and nothing is copied.
            let written = match Pin::new(&mut this.stream).poll_write(context, &answer) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            if written < answer.len() {
                let unsent = Bytes::copy_from_slice(&answer[written..]);
                drop(answer);
                this.unsent = unsent;
            }
        }
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for FastPathStream<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.send(context))?;
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.send(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.send(context))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.send(context))?;
        Pin::new(&mut this.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
