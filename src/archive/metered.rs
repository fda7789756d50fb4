//! A reader that gives only so many bytes until it is allowed more.
//!
//! The tar library keeps long names and extended headers in memory; `tar_entries.rs` bounds with
//! this how much of them there can be.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Counts down an allowance that its owner refills.
pub(super) struct Metered<R> {
    inner: R,
    allowance: Allowance,
}

/// Bytes that may still be read; shared between the reader and its owner.
#[derive(Clone)]
pub(super) struct Allowance(Rc<Cell<u64>>);

// === impl Metered ===

impl<R> Metered<R> {
    pub(super) fn new(inner: R, allowance: &Allowance) -> Metered<R> {
        Metered { inner, allowance: allowance.clone() }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = usize::try_from(self.allowance.0.get()).unwrap_or(usize::MAX);
        if allowed == 0 && !buffer.is_empty() {
            // The end of the input is still the end.
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::Error::other("its headers are longer than any archiver writes")),
            };
        }
        let length = buffer.len().min(allowed);
        let read = self.inner.read(buffer.get_mut(..length).unwrap_or_default())?;
        self.allowance.0.set(self.allowance.0.get().saturating_sub(read as u64));
        Ok(read)
    }
}

// === impl Allowance ===

impl Allowance {
    pub(super) fn new(bytes: u64) -> Allowance {
        Allowance(Rc::new(Cell::new(bytes)))
    }

    /// From now on `bytes` may be read.
    pub(super) fn set(&self, bytes: u64) {
        self.0.set(bytes);
    }

    /// From now on everything may be read: the caller counts.
    pub(super) fn lift(&self) {
        self.0.set(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_no_more_than_allowed_and_goes_on_when_refilled() {
        let allowance = Allowance::new(3);
        let mut reader = Metered::new(&b"abcdef"[..], &allowance);
        let mut read = Vec::new();
        assert!(reader.read_to_end(&mut read).is_err());
        assert_eq!(read, b"abc");
        allowance.set(1);
        let mut next = [0];
        assert_eq!(reader.read(&mut next).expect("allowed"), 1);
    }

    #[test]
    fn an_exhausted_allowance_at_the_end_is_the_end() {
        let allowance = Allowance::new(3);
        let mut read = Vec::new();
        Metered::new(&b"abc"[..], &allowance).read_to_end(&mut read).expect("all of it");
        assert_eq!(read, b"abc");
    }
}
