//! Decoders and resizers on the pictures of a folder, for `make compare WHAT=pictures`.
//!
//! `pictures FOLDER` reads each `NAME` that has a `NAME.rgb` (its pixels by Pillow) and writes a line of
//! JSON for each library that can do the step: milliseconds (the fastest of 60 runs, so that what else
//! runs on the machine does not count) and the distance to Pillow in
//! levels of 0 to 255 (greatest, mean). `resize.rgb` are the pixels of `photo.bmp` after Pillow's
//! resize to the size in `resize.size`. One thread.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use serde_json::json;
use torchfront::engine::Signature;
use torchfront::handlers::{Catalog, Envelope, HandlerSettings, NoFiles, RequestInput};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

/// As the server itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

const RUNS: usize = 60;

fn main() -> Result<(), Error> {
    let folder = std::env::args().nth(1).ok_or("pictures FOLDER")?;
    let folder = Path::new(&folder);
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if folder.join(format!("{name}.rgb")).exists() {
            names.push(name);
        }
    }
    names.sort();
    for name in names {
        let bytes = fs::read(folder.join(&name))?;
        let expected = fs::read(folder.join(format!("{name}.rgb")))?;
        if name.ends_with(".jpg") {
            report(&name, "libjpeg-turbo-rs", &expected, || turbo(&bytes));
            report(&name, "zune-jpeg", &expected, || zune(&bytes));
        } else {
            report(&name, "image", &expected, || {
                image::load_from_memory(&bytes).ok().map(|image| image.into_rgb8().into_raw())
            });
        }
        whole(&name, &bytes)?;
    }
    resizers(folder)
}

fn turbo(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = libjpeg_turbo_rs::Decoder::new(bytes).ok()?;
    decoder.set_output_format(libjpeg_turbo_rs::PixelFormat::Rgb);
    Some(decoder.decode_image().ok()?.data)
}

fn zune(bytes: &[u8]) -> Option<Vec<u8>> {
    JpegDecoder::new(ZCursor::new(bytes)).decode().ok()
}

/// Everything that image_classifier does with a picture before the forward.
fn whole(name: &str, bytes: &[u8]) -> Result<(), Error> {
    let settings = HandlerSettings {
        model: "m",
        version: "1.0",
        index_to_name: None,
        model_config: &serde_json::Value::Null,
        signature: Signature::default(),
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope: Envelope::None,
        files: &NoFiles,
    };
    let handler = Catalog::default().make("image_classifier", settings)?;
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let milliseconds = fastest(|| {
        let input = RequestInput::body(None, bytes.clone());
        black_box(handler.preprocess(input).is_ok());
    });
    println!(
        "{}",
        json!({"picture": name, "step": "preprocess", "by": "torchfront", "ms": milliseconds})
    );
    Ok(())
}

fn resizers(folder: &Path) -> Result<(), Error> {
    let size = fs::read_to_string(folder.join("resize.size"))?;
    let (width, height) = size.trim().split_once('x').ok_or("resize.size: WIDTHxHEIGHT")?;
    let (width, height): (u32, u32) = (width.parse()?, height.parse()?);
    let expected = fs::read(folder.join("resize.rgb"))?;
    let picture = image::open(folder.join("photo.bmp"))?.into_rgb8();
    let (from_width, from_height) = picture.dimensions();
    let source =
        Image::from_vec_u8(from_width, from_height, picture.as_raw().clone(), PixelType::U8x3)?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let mut resizer = Resizer::new();
    report("resize", "fast_image_resize", &expected, || {
        let mut resized = Image::new(width, height, PixelType::U8x3);
        resizer.resize(&source, &mut resized, &options).ok()?;
        Some(resized.into_vec())
    });
    report("resize", "image", &expected, || {
        let filter = image::imageops::FilterType::Triangle;
        Some(image::imageops::resize(&picture, width, height, filter).into_raw())
    });
    // Ours is reached through a handler: resize and normalise, of pixels that need no decoder.
    let third = 1.0 / 255.0;
    let config = json!({"image_classifier": {
        "resize": [height, width], "crop": null, "mean": [0, 0, 0], "std": [third, third, third],
    }});
    let settings = HandlerSettings {
        model: "m",
        version: "1.0",
        index_to_name: None,
        model_config: &config,
        signature: Signature::default(),
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope: Envelope::None,
        files: &NoFiles,
    };
    let handler = Catalog::default().make("image_classifier", settings)?;
    let bytes = bytes::Bytes::from(fs::read(folder.join("photo.bmp"))?);
    report("resize", "torchfront, with decoding a BMP and normalising", &expected, || {
        let sample = handler.preprocess(RequestInput::body(None, bytes.clone())).ok()?;
        let [torchfront::engine::Value::Tensor(tensor)] = sample.arguments.as_slice() else {
            return None;
        };
        let torchfront::engine::Elements::Float32(values) = tensor.elements() else { return None };
        let plane = values.len() / 3;
        let pixel = |at: usize| [0, 1, 2].map(|c| values[c * plane + at].round() as u8);
        Some((0..plane).flat_map(pixel).collect())
    });
    let milliseconds = fastest(|| {
        let input = RequestInput::body(None, bytes.clone());
        black_box(handler.preprocess(input).is_ok());
    });
    println!(
        "{}",
        json!({
            "picture": "resize", "step": "alone", "by": "torchfront, with decoding a BMP and normalising",
            "ms": milliseconds,
        })
    );
    Ok(())
}

/// Times `run` and compares what it gives with Pillow's pixels.
fn report(picture: &str, by: &str, expected: &[u8], mut run: impl FnMut() -> Option<Vec<u8>>) {
    let got = run().unwrap_or_default();
    if got.len() != expected.len() {
        println!("{}", json!({"picture": picture, "step": "pixels", "by": by, "ms": null}));
        return;
    }
    let differences = got.iter().zip(expected).map(|(a, b)| a.abs_diff(*b));
    let greatest = differences.clone().max().unwrap_or(0);
    let mean = differences.map(f64::from).sum::<f64>() / expected.len() as f64;
    let milliseconds = fastest(|| {
        black_box(run());
    });
    println!(
        "{}",
        json!({
            "picture": picture, "step": "pixels", "by": by, "ms": milliseconds,
            "greatest": greatest, "mean": mean,
        })
    );
}

fn fastest(mut run: impl FnMut()) -> f64 {
    let times = (0..RUNS).map(|_| {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64() * 1e3
    });
    times.fold(f64::INFINITY, f64::min)
}
