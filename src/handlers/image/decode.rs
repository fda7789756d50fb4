//! Decodes the images that clients send to 8-bit gray or RGB, as Pillow's `convert` does.
//!
//! Called by `picture.rs`. JPEG, PNG, GIF (first frame), WebP, BMP and TIFF. Dimensions are
//! checked before a pixel is decoded. Alpha is dropped, not blended; palettes are looked up; CMYK is
//! taken as inverted where JPEG does so (Adobe); of 16-bit samples the high byte is kept; an EXIF
//! orientation is ignored, all as in TorchServe. TorchServe itself takes RGB alone: the conversions
//! change no picture that it accepts.

use std::fmt;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use libjpeg_turbo_rs::{ColorSpace, DecodeLimits, Decoder, JpegError, PixelFormat};

use super::resize::Pixels;
use super::tiff;

/// Pillow's `Image.MAX_IMAGE_PIXELS`, doubled: from here on it takes an image for a bomb.
const MAX_PIXELS: u64 = 178_956_970;

/// The largest width and height: libjpeg's, which keeps a little room below 16 bits.
const MAX_SIDE: u32 = 65_500;

/// The most scans of a progressive JPEG. Real ones have about ten; each costs a pass over the image.
const MAX_SCANS: usize = 500;

/// The most memory that decoding one image may take, in bytes.
const MAX_DECODED: u64 = 1 << 30;

/// Bytes of the largest pixel: four samples of 16 bits.
const MAX_PIXEL: u64 = 8;
/// What a PNG may hold beside its pixels, in bytes: profiles of printers have a few million.
const BESIDE_PIXELS: u64 = 16 << 20;

/// The channels that a model looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    /// One, by ITU-R 601-2: Pillow's `convert("L")`.
    Gray,
    /// Three: Pillow's `convert("RGB")`.
    Rgb,
}

/// What is checked of an image before a pixel of it is decoded.
pub(super) struct Limits<'a> {
    /// Refuse what Pillow takes for a bomb.
    pub(super) bombs: bool,
    /// Width and height; why they are refused.
    pub(super) fits: &'a dyn Fn(usize, usize) -> Result<(), String>,
}

/// Why an image was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ImageError {
    /// The bytes are in no format that is known.
    Unknown,
    /// The image is larger than it may be.
    TooLarge(String),
    /// The bytes are not what their format says.
    Broken {
        /// The format's name.
        format: &'static str,
        /// The decoder's reason.
        reason: String,
    },
}

/// The formats, by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Jpeg,
    Other(ImageFormat, &'static str),
}

/// Decodes `bytes` to `channels`.
pub(super) fn decode(
    bytes: &[u8],
    channels: Channels,
    limits: &Limits<'_>,
) -> Result<Pixels, ImageError> {
    let format = Format::of(bytes).ok_or(ImageError::Unknown)?;
    // The decoders are other people's code on strangers' bytes: a panic there is this client's
    // error and not the end of a thread.
    let decoded = catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => jpeg(bytes, limits),
        Format::Other(format, name) => other(bytes, format, name, limits),
    }));
    let decoded = decoded.unwrap_or_else(|_| {
        Err(ImageError::Broken { format: format.name(), reason: "the decoder failed".to_owned() })
    });
    Ok(convert(decoded?, channels))
}

/// True when `bytes` begin like an image.
pub(super) fn looks_like_image(bytes: &[u8]) -> bool {
    Format::of(bytes).is_some()
}

/// A decoder that gives the very bytes that Pillow's libjpeg-turbo gives (exact IDCT, triangle
/// upsampling): others differ by up to four levels, which moves probabilities by half a percent.
fn jpeg(bytes: &[u8], limits: &Limits<'_>) -> Result<Pixels, ImageError> {
    let broken = |error: JpegError| match error {
        JpegError::LimitExceeded { .. } => ImageError::TooLarge(error.to_string()),
        error => ImageError::Broken { format: "JPEG", reason: error.to_string() },
    };
    let own = DecodeLimits {
        max_width: MAX_SIDE as usize,
        max_height: MAX_SIDE as usize,
        max_pixels: if limits.bombs { MAX_PIXELS } else { u64::MAX },
        max_scans: MAX_SCANS,
        max_memory: Some(MAX_DECODED),
    };
    let mut decoder = Decoder::new_with_limits(bytes, own).map_err(broken)?;
    let (width, height) = (decoder.header().width.into(), decoder.header().height.into());
    check_size(width, height, 4, limits)?;
    if !is_whole(bytes) {
        let reason = "it is truncated: its end marker is missing".to_owned();
        return Err(ImageError::Broken { format: "JPEG", reason });
    }
    let format = match decoder.jpeg_color_space() {
        ColorSpace::Grayscale => PixelFormat::Grayscale,
        ColorSpace::Cmyk | ColorSpace::Ycck => PixelFormat::Cmyk,
        ColorSpace::YCbCr | ColorSpace::Rgb | ColorSpace::Unknown => PixelFormat::Rgb,
    };
    decoder.set_output_format(format);
    let decoded = decoder.decode_image().map_err(broken)?;
    let (channels, data) = match decoded.pixel_format {
        PixelFormat::Grayscale => (1, decoded.data),
        PixelFormat::Cmyk => {
            let inks = decoded.data.as_chunks::<4>().0;
            (3, inks.iter().flat_map(|ink| inverted_cmyk(*ink)).collect())
        }
        _ => (3, decoded.data),
    };
    if decoded.precision != 8 || data.len() != decoded.width * decoded.height * channels {
        let reason = format!("samples of {} bits are not supported", decoded.precision);
        return Err(ImageError::Broken { format: "JPEG", reason });
    }
    Ok(Pixels { width: decoded.width, height: decoded.height, channels, data })
}

/// Pillow's `CMYK` to `RGB` for the inverted inks that JPEG files hold: each product of two bytes
/// over 255, rounded.
fn inverted_cmyk([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(ink) * u32::from(black) + 128;
        ((product + (product >> 8)) >> 8) as u8
    })
}

/// Does the end marker follow the entropy-coded data? Inside of them every `FF` is stuffed, so the
/// first `FF D9` behind the first scan's header is the end.
fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        match bytes.get(at..at + 4) {
            // Fill bytes before a marker.
            Some([0xff, 0xff, ..]) => at += 1,
            Some([0xff, 0xda, ..]) => break,
            Some([0xff, _, high, low]) => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
            // What else stands between the segments is skipped, as decoders do.
            Some(_) => at += 1,
            None => return false,
        }
    }
    memchr::memmem::find(&bytes[at..], &[0xff, 0xd9]).is_some()
}

fn other(
    bytes: &[u8],
    format: ImageFormat,
    name: &'static str,
    limits: &Limits<'_>,
) -> Result<Pixels, ImageError> {
    if format == ImageFormat::Tiff {
        let check = |width, height, pixel| check_size(width, height, pixel, limits);
        if let Some(rare) = tiff::decode(bytes, MAX_DECODED as usize, check) {
            return rare;
        }
    }
    let broken = |error: image::ImageError| match error {
        image::ImageError::Limits(error) => ImageError::TooLarge(error.to_string()),
        error => ImageError::Broken { format: name, reason: error.to_string() },
    };
    let mut own = image::Limits::default();
    own.max_image_width = Some(MAX_SIDE);
    own.max_image_height = Some(MAX_SIDE);
    own.max_alloc = Some(most_memory(bytes, format));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(own);
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let pixel = decoder.color_type().bytes_per_pixel().into();
    check_size(width.into(), height.into(), pixel, limits)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(broken)?;
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    let (channels, data) = match decoded {
        DynamicImage::ImageLuma8(image) => (1, image.into_raw()),
        DynamicImage::ImageRgb8(image) => (3, image.into_raw()),
        DynamicImage::ImageLumaA8(image) => (1, keep::<2, 1, _>(&image.into_raw(), |v| v)),
        DynamicImage::ImageRgba8(image) => (3, keep::<4, 3, _>(&image.into_raw(), |v| v)),
        DynamicImage::ImageLuma16(image) => (1, keep::<1, 1, _>(&image.into_raw(), high)),
        DynamicImage::ImageLumaA16(image) => (1, keep::<2, 1, _>(&image.into_raw(), high)),
        DynamicImage::ImageRgb16(image) => (3, keep::<3, 3, _>(&image.into_raw(), high)),
        DynamicImage::ImageRgba16(image) => (3, keep::<4, 3, _>(&image.into_raw(), high)),
        _ => {
            let reason = "samples of this kind are not supported; use 8 or 16 bits".to_owned();
            return Err(ImageError::Broken { format: name, reason });
        }
    };
    Ok(Pixels { width, height, channels, data })
}

/// What the picture may take while it is decoded. A small PNG may carry a colour profile that inflates
/// to hundreds of megabytes and that nobody looks at.
fn most_memory(bytes: &[u8], format: ImageFormat) -> u64 {
    if format != ImageFormat::Png {
        return MAX_DECODED;
    }
    // Signature, length and name of the first chunk; then width and height.
    let side = |at: usize| {
        let four = bytes.get(at..)?.first_chunk::<4>()?;
        Some(u64::from(u32::from_be_bytes(*four)))
    };
    let pixels = side(16).zip(side(20)).map_or(0, |(width, height)| width.saturating_mul(height));
    let decoded = pixels.saturating_mul(MAX_PIXEL).saturating_add(BESIDE_PIXELS);
    decoded.min(MAX_DECODED)
}

/// The first `TO` of every `FROM` samples, as bytes.
fn keep<const FROM: usize, const TO: usize, T: Copy>(data: &[T], byte: fn(T) -> u8) -> Vec<u8> {
    let mut kept = Vec::with_capacity(data.len() / FROM * TO);
    for pixel in data.as_chunks::<FROM>().0 {
        kept.extend(pixel[..TO].iter().copied().map(byte));
    }
    kept
}

fn high(sample: u16) -> u8 {
    (sample >> 8) as u8
}

fn check_size(
    width: u64,
    height: u64,
    pixel_bytes: u64,
    limits: &Limits<'_>,
) -> Result<(), ImageError> {
    let pixels = width.saturating_mul(height);
    if limits.bombs && pixels > MAX_PIXELS {
        return Err(ImageError::TooLarge(format!(
            "{width}x{height} is more than {MAX_PIXELS} pixels (limit_max_image_pixels)"
        )));
    }
    if width.max(height) > MAX_SIDE.into() || pixels.saturating_mul(pixel_bytes) > MAX_DECODED {
        return Err(ImageError::TooLarge(format!(
            "{width}x{height} is too large: at most {MAX_SIDE} a side and {MAX_DECODED} bytes of \
             pixels are decoded"
        )));
    }
    if pixels == 0 {
        return Err(ImageError::TooLarge(format!("{width}x{height} has no pixels")));
    }
    // Both are at most MAX_SIDE.
    (limits.fits)(width as usize, height as usize).map_err(ImageError::TooLarge)
}

fn convert(pixels: Pixels, channels: Channels) -> Pixels {
    let Pixels { width, height, .. } = pixels;
    let (channels, data) = match (pixels.channels, channels) {
        (1, Channels::Rgb) => (3, pixels.data.iter().flat_map(|gray| [*gray; 3]).collect()),
        (3, Channels::Gray) => {
            let gray = pixels.data.as_chunks::<3>().0.iter().map(|rgb| luma(*rgb));
            (1, gray.collect())
        }
        (channels, _) => (channels, pixels.data),
    };
    Pixels { width, height, channels, data }
}

/// ITU-R 601-2 with Pillow's coefficients of 16 fractional bits.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    let sum = u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000;
    (sum >> 16) as u8
}

// === impl Format ===

impl Format {
    fn of(bytes: &[u8]) -> Option<Format> {
        Some(match bytes {
            [0xff, 0xd8, 0xff, ..] => Format::Jpeg,
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => {
                Format::Other(ImageFormat::Png, "PNG")
            }
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => {
                Format::Other(ImageFormat::Gif, "GIF")
            }
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
                Format::Other(ImageFormat::WebP, "WebP")
            }
            [b'B', b'M', ..] => Format::Other(ImageFormat::Bmp, "BMP"),
            [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => {
                Format::Other(ImageFormat::Tiff, "TIFF")
            }
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "JPEG",
            Format::Other(_, name) => name,
        }
    }
}

/// The reason of the decoder in `tiff.rs`.
impl From<String> for ImageError {
    fn from(reason: String) -> ImageError {
        ImageError::Broken { format: "TIFF", reason }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageError::Unknown => {
                f.write_str("no image format is recognised: send JPEG, PNG, GIF, WebP, BMP or TIFF")
            }
            ImageError::TooLarge(reason) => write!(f, "the image is refused: {reason}"),
            ImageError::Broken { format, reason } => {
                write!(f, "the {format} image cannot be decoded: {reason}")
            }
        }
    }
}
