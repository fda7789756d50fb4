//! Compressed request bodies: `Content-Encoding: gzip` or `deflate`, inflated while they arrive.
//!
//! What comes out has the bound of any body. Beyond the first mebibyte it may also be no more than
//! some times what came in: a body of which nearly nothing is sent must not cost what a large one
//! costs. One coding, not several around each other.

use std::io::{self, Write};

use actix_web::http::header::{CONTENT_ENCODING, HeaderMap};
use flate2::write::{MultiGzDecoder, ZlibDecoder};

use super::body::BodyLimits;
use crate::error::ServeError;

/// What the server can undo, as an answer of 415 names it.
pub(super) const ACCEPTED: &str = "gzip, deflate";
/// Bytes that may come out whatever went in: short bodies of zeros are no attack.
const FREE: usize = 1 << 20;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// HTTP's `deflate`, which is zlib's format.
    Deflate,
}

/// Takes a packed body piece by piece.
pub(super) struct Inflater {
    decoder: Decoder,
    limits: BodyLimits,
    packed: usize,
}

enum Decoder {
    Gzip(MultiGzDecoder<Bounded>),
    Deflate(ZlibDecoder<Bounded>),
}

/// What came out; refuses more than its limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

// === impl Coding ===

impl Coding {
    /// How the body of a request with these headers is packed; none when it is not.
    ///
    /// # Errors
    /// 415 for another coding, or more than one.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Coding>, ServeError> {
        let mut found = None;
        for line in headers.get_all(CONTENT_ENCODING) {
            let Ok(line) = line.to_str() else { return Err(ServeError::coding_not_supported()) };
            let names = line.split(',').map(str::trim).filter(|name| !name.is_empty());
            for name in names.map(str::to_ascii_lowercase) {
                let coding = match &*name {
                    "identity" => continue,
                    "gzip" | "x-gzip" => Coding::Gzip,
                    "deflate" => Coding::Deflate,
                    _ => return Err(ServeError::coding_not_supported()),
                };
                if found.replace(coding).is_some() {
                    return Err(ServeError::coding_not_supported());
                }
            }
        }
        Ok(found)
    }
}

// === impl Inflater ===

impl Inflater {
    pub(super) fn new(coding: Coding, limits: BodyLimits) -> Inflater {
        let out = Bounded { bytes: Vec::new(), limit: limits.size, full: false };
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(MultiGzDecoder::new(out)),
            Coding::Deflate => Decoder::Deflate(ZlibDecoder::new(out)),
        };
        Inflater { decoder, limits, packed: 0 }
    }

    /// Takes the next bytes of the packed body; says how many have come out so far. Some kilobytes at
    /// a time, so that the bounds are looked at often.
    ///
    /// # Errors
    /// 413 when a bound is passed, 400 when the bytes are not what the header says.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<usize, ServeError> {
        self.packed += piece.len();
        let written = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.write_all(piece),
            Decoder::Deflate(decoder) => decoder.write_all(piece),
        };
        written.map_err(|error| self.refused(&error))?;
        self.within_ratio()
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Inflater::take`]; 400 also for a body that ends too early.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, ServeError> {
        // No body at all is an empty one.
        if self.packed > 0 {
            let ended = match &mut self.decoder {
                Decoder::Gzip(decoder) => decoder.try_finish(),
                Decoder::Deflate(decoder) => decoder.try_finish(),
            };
            ended.map_err(|error| self.refused(&error))?;
            self.within_ratio()?;
        }
        let out = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.get_mut(),
            Decoder::Deflate(decoder) => decoder.get_mut(),
        };
        Ok(std::mem::take(&mut out.bytes))
    }

    fn out(&self) -> &Bounded {
        match &self.decoder {
            Decoder::Gzip(decoder) => decoder.get_ref(),
            Decoder::Deflate(decoder) => decoder.get_ref(),
        }
    }

    fn within_ratio(&self) -> Result<usize, ServeError> {
        let inflated = self.out().bytes.len();
        if inflated > FREE && inflated / self.limits.ratio > self.packed {
            return Err(ServeError::body_inflates_too_far(self.limits.ratio));
        }
        Ok(inflated)
    }

    fn refused(&self, error: &io::Error) -> ServeError {
        if self.out().full {
            return ServeError::body_too_large(self.limits.size);
        }
        ServeError::bad_request(format!("The compressed request body could not be read: {error}"))
    }
}

// === impl Bounded ===

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(coding: Coding, packed: &[u8], limits: BodyLimits) -> Result<Vec<u8>, ServeError> {
        let mut inflater = Inflater::new(coding, limits);
        for piece in packed.chunks(1000) {
            inflater.take(piece)?;
        }
        inflater.finish()
    }

    const LIMITS: BodyLimits = BodyLimits { size: 4 << 20, ratio: 100 };

    #[test]
    fn a_body_comes_out_as_it_went_in() {
        let noise: Vec<u8> =
            (0..30_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        assert_eq!(inflate(Coding::Gzip, &gzip(&noise), LIMITS).unwrap(), noise);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&noise).unwrap();
        assert_eq!(inflate(Coding::Deflate, &encoder.finish().unwrap(), LIMITS).unwrap(), noise);
        // Several members one after the other are one body.
        let two = [gzip(b"one, "), gzip(b"two")].concat();
        assert_eq!(inflate(Coding::Gzip, &two, LIMITS).unwrap(), b"one, two");
        assert_eq!(inflate(Coding::Gzip, b"", LIMITS).unwrap(), b"");
    }

    #[test]
    fn what_inflates_too_far_is_refused_and_never_held() {
        let status = |bytes: usize, limits| {
            inflate(Coding::Gzip, &gzip(&vec![0; bytes]), limits).map(|_| ()).map_err(|e| e.status)
        };
        assert_eq!(status(FREE, LIMITS), Ok(()));
        // A thousand to one.
        assert_eq!(status(2 << 20, LIMITS), Err(413));
        assert_eq!(status(2 << 20, BodyLimits { ratio: 2000, ..LIMITS }), Ok(()));
        assert_eq!(status(5 << 20, BodyLimits { ratio: 2000, ..LIMITS }), Err(413));
        let mut inflater = Inflater::new(Coding::Gzip, LIMITS);
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.chunks(4096).any(|piece| inflater.take(piece).is_err()));
        assert!(inflater.out().bytes.capacity() <= 2 * LIMITS.size);
    }

    #[test]
    fn bytes_that_are_not_what_the_header_says_are_a_bad_request() {
        let whole = gzip(b"some text that is packed");
        for packed in [&b"no gzip at all, but some words"[..], &whole[..whole.len() - 3]] {
            assert_eq!(inflate(Coding::Gzip, packed, LIMITS).unwrap_err().status, 400);
        }
        assert_eq!(inflate(Coding::Deflate, &whole, LIMITS).unwrap_err().status, 400);
        let mut broken = whole;
        let middle = broken.len() - 6;
        broken[middle] ^= 0x55; // its checksum
        assert_eq!(inflate(Coding::Gzip, &broken, LIMITS).unwrap_err().status, 400);
    }

    #[test]
    fn one_coding_is_understood_and_nothing_around_it() {
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(line));
            }
            Coding::of(&headers).map_err(|error| error.status)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["identity"]), Ok(None));
        assert_eq!(of(&["GZIP"]), Ok(Some(Coding::Gzip)));
        assert_eq!(of(&["x-gzip, identity"]), Ok(Some(Coding::Gzip)));
        assert_eq!(of(&["deflate"]), Ok(Some(Coding::Deflate)));
        for other in [&["gzip, gzip"][..], &["gzip", "deflate"], &["br"], &["zstd"], &["gzip;q=1"]]
        {
            assert_eq!(of(other), Err(415), "{other:?}");
        }
    }
}
