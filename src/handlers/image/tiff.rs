//! The TIFFs that Pillow reads and the crate `image` does not: palettes, gray with alpha, floats.
//!
//! Called by `decode.rs` for every TIFF; the others are left to `image`.

use std::borrow::Cow;
use std::io::Cursor;

use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

use super::resize::Pixels;

/// `PhotometricInterpretation`, and two of its values.
const INTERPRETATION: u16 = 262;
const PALETTE: u16 = 3;
const GRAY: u16 = 1;

/// The pixels of such a file; `check` looks at width, height and bytes of a pixel before they are
/// decoded. None when it is another kind.
pub(super) fn decode<E: From<String>>(
    bytes: &[u8],
    most: usize,
    check: impl FnOnce(u64, u64, u64) -> Result<(), E>,
) -> Option<Result<Pixels, E>> {
    let (bytes, has_palette) = palette_as_gray(bytes);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = most;
    limits.intermediate_buffer_size = most;
    let mut decoder = Decoder::new(Cursor::new(&*bytes)).ok()?.with_limits(limits);
    let (width, height) = decoder.dimensions().ok()?;
    let kind = decoder.colortype().ok()?;
    let colours = has_palette.then(|| decoder.get_tag_u16_vec(Tag::ColorMap).ok()).flatten();
    let pixel = match (kind, has_palette) {
        (ColorType::Gray(8), true) => 3,
        (ColorType::GrayA(8) | ColorType::Multiband { bit_depth: 8, num_samples: 2 }, false) => 2,
        (ColorType::Gray(32), false) => 4,
        _ => return None,
    };
    if let Err(error) = check(width.into(), height.into(), pixel) {
        return Some(Err(error));
    }
    let decoded = match decoder.read_image() {
        Ok(decoded) => decoded,
        Err(error) => return Some(Err(error.to_string().into())),
    };
    let (channels, data): (usize, Vec<u8>) = match (decoded, colours) {
        (DecodingResult::U8(indices), Some(colours)) => {
            // All reds, all greens, all blues; the high byte counts.
            let size = colours.len() / 3;
            let part = |index: u8, colour: usize| {
                let at = usize::from(index).min(size.saturating_sub(1)) + colour * size;
                colours.get(at).map_or(0, |value| (value >> 8) as u8)
            };
            let pixels =
                indices.iter().flat_map(|index| [0, 1, 2].map(|colour| part(*index, colour)));
            (3, pixels.collect())
        }
        (DecodingResult::U8(pairs), None) => (1, pairs.iter().step_by(2).copied().collect()),
        // A float that is no byte becomes the nearest one, as in Pillow's conversion to gray.
        (DecodingResult::F32(values), None) => {
            (1, values.iter().map(|value| *value as u8).collect())
        }
        _ => return None,
    };
    let (width, height) = (width as usize, height as usize);
    if data.len() != width * height * channels {
        return Some(Err("it has too few pixels".to_owned().into()));
    }
    Some(Ok(Pixels { width, height, channels, data }))
}

/// The file with its palette's indices declared as gray, if it has a palette: the decoder knows no
/// palettes and would refuse it.
fn palette_as_gray(bytes: &[u8]) -> (Cow<'_, [u8]>, bool) {
    match interpretation(bytes) {
        Some((at, PALETTE, little)) => {
            let mut changed = bytes.to_vec();
            let gray = if little { GRAY.to_le_bytes() } else { GRAY.to_be_bytes() };
            changed[at..at + 2].copy_from_slice(&gray);
            (Cow::Owned(changed), true)
        }
        _ => (Cow::Borrowed(bytes), false),
    }
}

/// Where the first page's interpretation stands, its value, and whether the file is little-endian.
fn interpretation(bytes: &[u8]) -> Option<(usize, u16, bool)> {
    let little = bytes.starts_with(b"II");
    let short = |at: usize| {
        let two = *bytes.get(at..)?.first_chunk::<2>()?;
        Some(if little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    };
    let long = |at: usize| {
        let four = *bytes.get(at..)?.first_chunk::<4>()?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
    };
    let directory = long(4)? as usize;
    // Entries of 12 bytes: tag, type, count, value.
    for entry in 0..usize::from(short(directory)?) {
        let at = directory.checked_add(2 + entry * 12)?;
        if short(at)? == INTERPRETATION {
            return Some((at + 8, short(at + 8)?, little));
        }
    }
    None
}
