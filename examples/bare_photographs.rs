//! The floor of photographs in `make compare WHAT=inference`: decode, resize, crop, normalise and
//! forward in a loop, without HTTP, queue or answers.
//!
//! `bare_photographs MODEL.pt PHOTOGRAPH.jpg THREADS BATCH SECONDS [bfloat16]` prints photographs a
//! second. The threads share one module; each decodes its own batch.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use torchfront::engine::options::{LoadOptions, MemoryFormat, Optimize, Precision};
use torchfront::engine::{Device, Elements, Engine, HostTensor, TorchEngine, Value};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

/// As the server itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

const SIDE: usize = 224;
const RESIZED: f64 = 256.0;
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (model, photograph, threads, batch, seconds, precision) = match words.as_slice() {
        [model, photograph, threads, batch, seconds] => {
            (model, photograph, threads, batch, seconds, Precision::Float32)
        }
        [model, photograph, threads, batch, seconds, "bfloat16"] => {
            (model, photograph, threads, batch, seconds, Precision::Bfloat16)
        }
        _ => {
            eprintln!("bare_photographs MODEL.pt PHOTOGRAPH.jpg THREADS BATCH SECONDS [bfloat16]");
            std::process::exit(64);
        }
    };
    let (threads, batch): (usize, usize) = (threads.parse()?, batch.parse()?);
    let jpeg = std::fs::read(photograph)?;
    let options = LoadOptions {
        optimize: Some(Optimize::Freeze),
        memory_format: Some(MemoryFormat::ChannelsLast),
        precision: Some(precision),
    };
    let loaded = TorchEngine.load("floor", Path::new(model), Device::Cpu)?;
    let module = loaded.prepared("floor", &options, None)?.unwrap_or(loaded);
    // The first calls compile.
    TorchEngine.enter_worker_thread(1);
    for _ in 0..3 {
        module.forward(vec![Value::Tensor(batch_of(&jpeg, batch)?)])?;
    }
    let done = AtomicUsize::new(0);
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds.parse()?);
    std::thread::scope(|scope| {
        let run = || -> Result<(), Error> {
            TorchEngine.enter_worker_thread(1);
            while Instant::now() < end {
                module.forward(vec![Value::Tensor(batch_of(&jpeg, batch)?)])?;
                done.fetch_add(batch, Ordering::Relaxed);
            }
            Ok(())
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    println!("{:.1}", done.into_inner() as f64 / started.elapsed().as_secs_f64());
    Ok(())
}

fn batch_of(jpeg: &[u8], rows: usize) -> Result<HostTensor, Error> {
    let mut numbers = Vec::with_capacity(rows * 3 * SIDE * SIDE);
    for _ in 0..rows {
        push_photograph(jpeg, &mut numbers)?;
    }
    let elements = Elements::Float32(numbers);
    Ok(HostTensor::new(vec![rows, 3, SIDE, SIDE], elements)?)
}

fn push_photograph(jpeg: &[u8], numbers: &mut Vec<f32>) -> Result<(), Error> {
    let mut decoder = JpegDecoder::new(ZCursor::new(jpeg));
    let pixels = decoder.decode()?;
    let (width, height) = decoder.dimensions().ok_or("no dimensions")?;
    let scale = RESIZED / width.min(height) as f64;
    let side = |length: usize| (length as f64 * scale) as u32;
    let source = Image::from_vec_u8(width as u32, height as u32, pixels, PixelType::U8x3)?;
    let mut resized = Image::new(side(width), side(height), PixelType::U8x3);
    let bilinear = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&source, &mut resized, &bilinear)?;
    let (width, height) = (resized.width() as usize, resized.height() as usize);
    let (left, top) = ((width - SIDE) / 2, (height - SIDE) / 2);
    let buffer = resized.buffer();
    for channel in 0..3 {
        let (mean, scale) = (MEAN[channel] * 255.0, 1.0 / (STD[channel] * 255.0));
        for row in top..top + SIDE {
            let start = (row * width + left) * 3 + channel;
            let pixels = buffer[start..].iter().step_by(3).take(SIDE);
            numbers.extend(pixels.map(|&pixel| (f32::from(pixel) - mean) * scale));
        }
    }
    Ok(())
}
