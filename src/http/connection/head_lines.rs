//! Finds a line of a request head that ends in a line feed alone. PURE.
//!
//! The parser takes such a line, as the standard allows; a proxy in front may have taken it for a part
//! of the line before, and then the two see different requests. The bytes of a body are not looked at.

/// Where in a head the bytes of a connection are.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadLines {
    /// The empty line has come: what follows is a body, or the next head before this one is answered.
    complete: bool,
    /// A line that is not empty has come: an empty one ends the head.
    begun: bool,
    /// Bytes of the line that is under way.
    line: usize,
    /// The last byte was a carriage return.
    after_cr: bool,
}

// === impl HeadLines ===

impl HeadLines {
    /// Where in `bytes`, the next ones of the connection, a head's line ends without a carriage
    /// return.
    pub fn bare_line_feed(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.complete || bytes.is_empty() {
            return None;
        }
        // A whole head without a body, as nearly all are: no line has to be found.
        let is_fresh = !self.begun && self.line == 0;
        if is_fresh && bytes.ends_with(b"\r\n\r\n") && !has_bare_line_feed(bytes) {
            self.complete = true;
            return None;
        }
        let mut start = 0;
        for at in memchr::memchr_iter(b'\n', bytes) {
            let after_cr = at.checked_sub(1).map_or(self.after_cr, |before| bytes[before] == b'\r');
            if !after_cr {
                return Some(at);
            }
            let is_empty = self.line + (at - start) <= 1;
            if is_empty && self.begun {
                self.complete = true;
                return None;
            }
            self.begun |= !is_empty;
            (self.line, start) = (0, at + 1);
        }
        self.line = self.line.saturating_add(bytes.len() - start);
        self.after_cr = bytes.ends_with(b"\r");
        None
    }
}

/// Of one piece, without branches: the compiler makes this wide.
fn has_bare_line_feed(bytes: &[u8]) -> bool {
    let is_bare = |pair: &[u8]| (pair[1] == b'\n') & (pair[0] != b'\r');
    bytes[0] == b'\n' || bytes.windows(2).fold(false, |found, pair| found | is_bare(pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In one piece, and byte by byte.
    fn found(text: &str) -> Option<usize> {
        let whole = HeadLines::default().bare_line_feed(text.as_bytes());
        let mut lines = HeadLines::default();
        let mut bytes = text.bytes().enumerate();
        let single = bytes.find(|(_, byte)| lines.bare_line_feed(&[*byte]).is_some());
        assert_eq!(whole, single.map(|(at, _)| at), "{text:?}");
        whole
    }

    #[test]
    fn a_line_of_the_head_that_ends_without_a_carriage_return_is_found() {
        assert_eq!(found("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), None);
        assert_eq!(found("GET / HTTP/1.1\nHost: a\r\n\r\n"), Some(14));
        assert_eq!(found("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"), Some(23));
        assert_eq!(found("GET / HTTP/1.1\r\nHost: a\r\n\n"), Some(25));
        assert_eq!(found("\nGET / HTTP/1.1\r\n\r\n"), Some(0));
        assert_eq!(found("\r\n\r\nGET / HTTP/1.1\r\nHost: a\n"), Some(27));
    }

    #[test]
    fn a_body_may_hold_any_line() {
        assert_eq!(found("POST / HTTP/1.1\r\nHost: a\r\n\r\n[1,\n2]\n\n"), None);
        assert_eq!(found("POST / HTTP/1.1\r\nHost: a\r\n\r\n1\n\r\n\r\n"), None);
    }
}
