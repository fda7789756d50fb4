//! A JSON array whose items are written when they are needed: whole, or some at a time.
//!
//! Used by `image/detector.rs` and `image/segmenter.rs`, whose answers can be long.

use super::Prediction;
use super::json_text::{Brackets, JsonText, Layout};
use super::output::Pieces;

/// An array that is not written yet.
pub(super) struct Listing {
    /// Items.
    count: usize,
    /// About how many bytes an item takes.
    item_bytes: usize,
    /// Writes the value of an item.
    item: Box<WriteItem>,
}

/// Writes the value of the item at this place.
type WriteItem = dyn Fn(usize, &mut JsonText) + Send + Sync;

/// About the bytes of a piece. Written in a tenth of a millisecond.
const PIECE: usize = 32 << 10;

/// An array that is shorter comes whole.
const WORTH_PIECES: usize = 8 * PIECE;

// === impl Listing ===

impl Listing {
    pub(super) fn new(
        count: usize,
        item_bytes: usize,
        item: impl Fn(usize, &mut JsonText) + Send + Sync + 'static,
    ) -> Listing {
        Listing { count, item_bytes: item_bytes.max(1), item: Box::new(item) }
    }

    /// The whole array.
    pub(super) fn text(&self, layout: Layout) -> Vec<u8> {
        self.write(layout, 0, self.count)
    }

    /// The answer, indented; with `pieces`, a long one comes piece by piece.
    pub(super) fn answer(self, pieces: bool) -> Prediction {
        if !pieces || self.count.saturating_mul(self.item_bytes) < WORTH_PIECES {
            return Prediction::json(self.text(Layout::Indented));
        }
        let at_once = (PIECE / self.item_bytes).max(1);
        let mut answer = Prediction::json(self.write(Layout::Indented, 0, at_once));
        answer.rest = Some(Pieces::new(move |index| {
            let start = index.checked_add(1)?.checked_mul(at_once)?;
            let left = start < self.count;
            left.then(|| self.write(Layout::Indented, start, at_once).into())
        }));
        answer
    }

    /// The items from `start` on, with the bracket in front of the first and the one behind the last.
    fn write(&self, layout: Layout, start: usize, len: usize) -> Vec<u8> {
        let end = self.count.min(start.saturating_add(len));
        let room = (end - start) * self.item_bytes + 16;
        let mut text = match start {
            0 => JsonText::with_capacity(layout, room),
            _ => JsonText::continued(layout, room),
        };
        if start == 0 {
            text.open(Brackets::Array);
        }
        for index in start..end {
            text.item();
            (self.item)(index, &mut text);
        }
        if end == self.count {
            text.close(Brackets::Array);
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(count: usize, item_bytes: usize) -> Listing {
        Listing::new(count, item_bytes, |index, text| {
            text.open(Brackets::Array);
            text.item();
            text.int(index as i64);
            text.close(Brackets::Array);
        })
    }

    #[test]
    fn pieces_put_together_are_the_whole() {
        for (count, item_bytes) in [(8192, 100), (10_000, 40), (5, 1 << 20), (300, 1000)] {
            let whole = listing(count, item_bytes).answer(false);
            assert_eq!(whole.rest, None);
            let answer = listing(count, item_bytes).answer(true);
            let rest = answer.rest.expect("pieces");
            let mut body = answer.body.to_vec();
            for index in 0.. {
                match rest.get(index) {
                    Some(piece) => body.extend_from_slice(&piece),
                    None => break,
                }
            }
            assert!(body == whole.body, "{count} x {item_bytes}");
            let read: Vec<[usize; 1]> = serde_json::from_slice(&body).unwrap();
            assert_eq!(read.len(), count);
            assert_eq!(rest.get(usize::MAX), None);
        }
    }

    #[test]
    fn what_is_short_comes_whole_and_what_is_empty_is_an_empty_array() {
        assert_eq!(listing(3, 10).answer(true).rest, None);
        assert_eq!(listing(0, 10).answer(true).body, "[]");
        assert_eq!(listing(1, 10).text(Layout::Compact), b"[[0]]");
        assert_eq!(listing(2, 10).text(Layout::Spaced), b"[[0], [1]]");
    }
}
