//! The socket of a client: notes what is read and written, and ends what `progress.rs` has judged.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::admission::Place;
use super::early_answers::head_too_slow;
use super::progress::{Limits, Progress, Verdict};

/// A connection with a place, under watch. Plain HTTP is looked at for lines that end wrongly; who
/// reads TLS looks at them behind it.
#[derive(Debug)]
pub struct Guarded<T> {
    stream: T,
    progress: Progress,
    content: Content,
    _place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    PlainHttp1,
    Tls,
}

// === impl Guarded ===

impl<T> Guarded<T> {
    /// A connection of plain HTTP/1.1. Call it where tasks can be spawned.
    pub fn plain(stream: T, place: Place, limits: Limits) -> Guarded<T> {
        Guarded::new(stream, place, limits, Content::PlainHttp1)
    }

    /// A connection that begins with a handshake.
    pub fn tls(stream: T, place: Place, limits: Limits) -> Guarded<T> {
        Guarded::new(stream, place, limits, Content::Tls)
    }

    fn new(stream: T, place: Place, limits: Limits, content: Content) -> Guarded<T> {
        let progress = Progress::watched(limits, content == Content::Tls);
        Guarded { stream, progress, content, _place: place }
    }

    /// What this connection is doing.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(verdict) = this.progress.verdict() {
            // Who reads TLS says it there.
            if this.content == Content::PlainHttp1 && this.progress.owes_an_answer() {
                // The first that is written: the kernel takes it at once, or never.
                let answer = head_too_slow();
                let _sent = Pin::new(&mut this.stream).poll_write(context, answer.as_bytes());
            }
            return Poll::Ready(match verdict {
                Verdict::ReaderTooSlow => Err(io::ErrorKind::TimedOut.into()),
                // Nothing is filled in: the end.
                Verdict::HeadTooSlow | Verdict::Idle => Ok(()),
            });
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        match &read {
            Poll::Pending => this.progress.park(context.waker()),
            Poll::Ready(Ok(())) => {
                let bytes = &mut buffer.filled_mut()[before..];
                if bytes.is_empty() {
                    return read;
                }
                this.progress.received();
                if this.content == Content::PlainHttp1 {
                    this.progress.refuse_bare_line_feed(bytes);
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> Guarded<T> {
    fn noted(
        &self,
        written: Poll<io::Result<usize>>,
        context: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.progress.sent(*bytes),
            Poll::Pending => {
                self.progress.stalled();
                self.progress.park(context.waker());
            }
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    fn is_cut(&self) -> bool {
        self.progress.verdict() == Some(Verdict::ReaderTooSlow)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.noted(written, context)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        if flushed.is_ready() {
            this.progress.flushed();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.noted(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
