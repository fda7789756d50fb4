//! Log lines on their way to standard output: a thread of its own writes them, so that a slow reader
//! of the log never holds up a request.
//!
//! A line after a pause is written at once. Under load the lines of some milliseconds are written
//! together: the threads that log then wake nobody, and the system is called once for all of them.
//! What a reader does not take in time is dropped and counted; requests go on.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait.
const MAX_WAITING: usize = 8 << 20;
/// Memory that is kept for waiting lines when there are few.
const KEPT: usize = 256 << 10;
/// Lines are collected for so long after others were written.
const COLLECT: Duration = Duration::from_millis(10);

/// Takes the lines of all threads.
#[derive(Clone)]
pub(crate) struct LineWriter(Arc<Lines>);

/// Writes what is still waiting when it is dropped.
pub struct LogGuard {
    lines: Arc<Lines>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Lines {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
    closed: bool,
}

/// Starts the thread that writes to `out`.
///
/// # Errors
/// The system's, when it has no thread to give.
pub(crate) fn start(out: impl Write + Send + 'static) -> io::Result<(LineWriter, LogGuard)> {
    let lines = Arc::<Lines>::default();
    let writing = Arc::clone(&lines);
    let thread =
        std::thread::Builder::new().name("log".into()).spawn(move || writing.write(out))?;
    Ok((LineWriter(Arc::clone(&lines)), LogGuard { lines, thread: Some(thread) }))
}

// === impl LineWriter ===

impl Write for &LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock();
        let first = waiting.bytes.is_empty();
        if waiting.bytes.len() + line.len() > MAX_WAITING {
            waiting.dropped += 1;
        } else {
            waiting.bytes.extend_from_slice(line);
        }
        drop(waiting);
        if first {
            self.0.changed.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = &'a LineWriter;

    fn make_writer(&'a self) -> &'a LineWriter {
        self
    }
}

// === impl Lines ===

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No statement that holds the lock leaves half a line behind.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of the writing thread.
    fn write(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let mut waiting = self.lock();
            while waiting.bytes.is_empty() && !waiting.closed {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            if waiting.bytes.is_empty() {
                return;
            }
            std::mem::swap(&mut lines, &mut waiting.bytes);
            let dropped = std::mem::take(&mut waiting.dropped);
            drop(waiting);
            if dropped > 0 {
                let note = format!("{dropped} log lines were dropped: nobody read them in time\n");
                lines.extend_from_slice(note.as_bytes());
            }
            // Nobody is left to tell that the log cannot be written.
            let _closed = out.write_all(&lines).and_then(|()| out.flush());
            lines.clear();
            lines.shrink_to(KEPT);
            let waiting = self.lock();
            if !waiting.closed {
                // The first line of a pause wakes this wait for nothing; it goes on.
                let more = |waiting: &mut Waiting| !waiting.closed;
                let waited = self.changed.wait_timeout_while(waiting, COLLECT, more);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}

// === impl LogGuard ===

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.lines.lock().closed = true;
        self.lines.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic while writing has been reported by the thread itself.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Hands over what is written; each write waits until it is taken.
    struct Slow(mpsc::SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_in_order_the_last_ones_when_the_guard_goes() {
        let (sender, written) = mpsc::sync_channel(1000);
        let (writer, guard) = start(Slow(sender)).unwrap();
        for number in 0..500 {
            (&writer).write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        drop(guard);
        let text: Vec<u8> = written.try_iter().flatten().collect();
        let expected: String = (0..500).map(|number| format!("line {number}\n")).collect();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn a_reader_that_takes_nothing_holds_up_nobody_and_the_loss_is_said() {
        let (sender, written) = mpsc::sync_channel(0);
        let (writer, guard) = start(Slow(sender)).unwrap();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..32 {
            (&writer).write_all(&line).unwrap(); // never waits
        }
        let reader = std::thread::spawn(move || written.iter().flatten().collect::<Vec<u8>>());
        drop(guard);
        let text = reader.join().unwrap();
        assert!(text.len() <= 2 * MAX_WAITING + 200, "{}", text.len());
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(" log lines were dropped"), "the loss is not said");
    }
}
