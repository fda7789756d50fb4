//! What a request's `Accept` asks for, by the rules of RFC 9110 12.5.1. PURE.
//!
//! Read by `http/inference.rs`, asked by the handlers, each with the forms that it has. A client that
//! accepts nothing of it gets JSON, as from TorchServe, which does not look at the header.

use super::Form;

/// What a client accepts, and what its connection can carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    ranges: Vec<Range>,
    /// A large answer may come piece by piece ([`super::Prediction::rest`]).
    pub pieces: bool,
}

/// One media range: `type/subtype`, `type/*` or `*/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    kind: String,
    subtype: String,
    /// Thousandths; 0 is "not this".
    quality: u16,
}

/// A form of answer that a handler has beside JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// `application/octet-stream`: tensors as their bytes.
    Raw,
    /// `image/png`: a picture of the answer.
    Png,
}

/// Ranges that are read; real headers have ten.
const MAX_RANGES: usize = 32;

// === impl Accept ===

impl Accept {
    /// The header's value. What is no media range is left out.
    pub fn parse(header: &str) -> Accept {
        let ranges = header.split(',').take(MAX_RANGES).filter_map(Range::parse).collect();
        Accept { ranges, pieces: false }
    }

    /// The form of the answer: JSON unless the client likes one of `offers` better.
    pub(super) fn form(&self, offers: &[Offer]) -> Form {
        let mut best = (self.quality("application", "json"), Form::Plain);
        for offer in offers {
            let (kind, subtype, form) = match offer {
                Offer::Raw => ("application", "octet-stream", Form::Raw),
                Offer::Png => ("image", "png", Form::Png),
            };
            let quality = self.quality(kind, subtype);
            if quality > best.0 {
                best = (quality, form);
            }
        }
        best.1
    }

    /// How much a media type is liked: what the most specific range says.
    fn quality(&self, kind: &str, subtype: &str) -> u16 {
        let fits = |range: &&Range| match (range.kind.as_str(), range.subtype.as_str()) {
            ("*", "*") => true,
            (own, "*") => own == kind,
            (own, sub) => own == kind && sub == subtype,
        };
        let specific = |range: &&Range| (range.kind != "*", range.subtype != "*");
        self.ranges.iter().filter(fits).max_by_key(specific).map_or(0, |range| range.quality)
    }
}

// === impl Range ===

impl Range {
    fn parse(text: &str) -> Option<Range> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>().ok())
        });
        let quality = match quality {
            None => 1.0,
            Some(value) => value.filter(|value| (0.0..=1.0).contains(value))?,
        };
        let lower = |word: &str| word.trim().to_ascii_lowercase();
        // Between 0 and 1000.
        Some(Range {
            kind: lower(kind),
            subtype: lower(subtype),
            quality: (quality * 1000.0) as u16,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_that_is_liked_best_is_given_and_json_where_nothing_is_better() {
        use Form::{Plain, Png, Raw};
        let both = &[Offer::Raw, Offer::Png];
        for (header, offers, form) in [
            ("", &both[..], Plain),
            ("*/*", both, Plain),
            ("application/json", both, Plain),
            ("application/octet-stream", both, Raw),
            ("Application/Octet-Stream; q=0.5", both, Raw),
            ("image/png", both, Png),
            ("image/png", &both[..1], Plain),
            ("image/*", both, Png),
            ("image/png, */*", both, Plain),
            ("image/png, */*;q=0.8", both, Png),
            ("image/png;q=0.5, application/octet-stream;q=0.9", both, Raw),
            ("application/*, application/json;q=0", both, Raw),
            ("application/octet-stream;q=0", both, Plain),
            ("application/octet-stream;q=2, image/png;q=x, png", both, Plain),
            ("text/html", both, Plain),
        ] {
            assert_eq!(Accept::parse(header).form(offers), form, "{header}");
        }
        let long = "a/b,".repeat(1000) + "image/png";
        assert_eq!(Accept::parse(&long).form(both), Plain);
    }
}
