//! WAV and FLAC to samples of one channel between -1 and 1. PURE.
//!
//! Called by `request.rs`. As Python's `torchaudio.load` and `soundfile`: a whole number of `bits` bits is
//! divided by `2^(bits - 1)`, and several channels become their mean. The crates `hound` and `claxon`
//! read the files; nothing is allocated before the limits are checked.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use claxon::{FlacReader, FlacReaderOptions};
use hound::{SampleFormat, WavReader};

/// Sound of one channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sound {
    /// Samples a second.
    pub(super) rate: u32,
    /// The samples.
    pub(super) samples: Vec<f32>,
}

/// Rates that are read, in samples a second.
pub(super) const RATES: std::ops::RangeInclusive<u32> = 100..=768_000;

/// The most channels.
const MAX_CHANNELS: usize = 64;

/// Do the bytes start as a file that is read here?
pub(super) fn looks_like_sound(bytes: &[u8]) -> bool {
    let is_wav = bytes.get(8..12) == Some(b"WAVE") && bytes.starts_with(b"RIFF");
    is_wav || bytes.starts_with(b"fLaC")
}

/// Decodes a file of at most `max_seconds`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn decode(bytes: &[u8], max_seconds: f64) -> Result<Sound, String> {
    // Foreign bytes decide what the crates do; a fault of theirs is the sender's error, not ours.
    let decoded = catch_unwind(AssertUnwindSafe(|| match bytes {
        flac if flac.starts_with(b"fLaC") => decode_flac(flac, max_seconds),
        wav => decode_wav(wav, max_seconds),
    }));
    decoded.unwrap_or_else(|_| Err("the sound is damaged".to_owned()))
}

fn decode_wav(bytes: &[u8], max_seconds: f64) -> Result<Sound, String> {
    let wrong = |error: hound::Error| format!("the WAV cannot be read: {error}");
    let reader = WavReader::new(Cursor::new(bytes)).map_err(wrong)?;
    let spec = reader.spec();
    let mut mono = Mono::new(spec.sample_rate, usize::from(spec.channels), max_seconds)?;
    match spec.sample_format {
        SampleFormat::Float => {
            for sample in reader.into_samples::<f32>() {
                mono.push(sample.map_err(wrong)?)?;
            }
        }
        SampleFormat::Int => {
            let scale = scale(u32::from(spec.bits_per_sample))?;
            for sample in reader.into_samples::<i32>() {
                mono.push((f64::from(sample.map_err(wrong)?) * scale) as f32)?;
            }
        }
    }
    Ok(mono.finish())
}

fn decode_flac(bytes: &[u8], max_seconds: f64) -> Result<Sound, String> {
    let wrong = |error: claxon::Error| format!("the FLAC cannot be read: {error}");
    let options = FlacReaderOptions { metadata_only: false, read_vorbis_comment: false };
    let mut reader = FlacReader::new_ext(Cursor::new(bytes), options).map_err(wrong)?;
    let info = reader.streaminfo();
    let mut mono = Mono::new(info.sample_rate, info.channels as usize, max_seconds)?;
    let scale = scale(info.bits_per_sample)?;
    let mut blocks = reader.blocks();
    let mut buffer = Vec::new();
    while let Some(block) = blocks.read_next_or_eof(buffer).map_err(wrong)? {
        for time in 0..block.duration() {
            for channel in 0..block.channels() {
                mono.push((f64::from(block.sample(channel, time)) * scale) as f32)?;
            }
        }
        buffer = block.into_buffer();
    }
    Ok(mono.finish())
}

/// What a whole number of `bits` bits is multiplied by.
fn scale(bits: u32) -> Result<f64, String> {
    match bits {
        4..=32 => Ok(0.5f64.powi(bits as i32 - 1)),
        _ => Err(format!("{bits} bits a sample are not read")),
    }
}

/// Makes one channel of several, sample by sample.
struct Mono {
    rate: u32,
    channels: usize,
    /// The sum of the channels so far, and how many they are.
    sum: f32,
    seen: usize,
    samples: Vec<f32>,
    most: usize,
}

// === impl Mono ===

impl Mono {
    fn new(rate: u32, channels: usize, max_seconds: f64) -> Result<Mono, String> {
        if !RATES.contains(&rate) {
            return Err(format!("{rate} samples a second are not read"));
        }
        if !(1..=MAX_CHANNELS).contains(&channels) {
            return Err(format!("{channels} channels are not read"));
        }
        let most = (f64::from(rate) * max_seconds) as usize;
        Ok(Mono { rate, channels, sum: 0.0, seen: 0, samples: Vec::new(), most })
    }

    fn push(&mut self, sample: f32) -> Result<(), String> {
        self.sum += sample;
        self.seen += 1;
        if self.seen < self.channels {
            return Ok(());
        }
        if self.samples.len() >= self.most {
            return Err(format!(
                "the sound is longer than {:.0} seconds",
                self.most as f64 / f64::from(self.rate)
            ));
        }
        self.samples.push(self.sum / self.channels as f32);
        (self.sum, self.seen) = (0.0, 0);
        Ok(())
    }

    fn finish(self) -> Sound {
        Sound { rate: self.rate, samples: self.samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(
        spec: hound::WavSpec,
        write: impl Fn(&mut hound::WavWriter<&mut Cursor<Vec<u8>>>),
    ) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
        write(&mut writer);
        writer.finalize().unwrap();
        file.into_inner()
    }

    fn spec(channels: u16, bits_per_sample: u16, sample_format: SampleFormat) -> hound::WavSpec {
        hound::WavSpec { channels, sample_rate: 8000, bits_per_sample, sample_format }
    }

    #[test]
    fn whole_numbers_and_floats_of_several_channels_become_one() {
        let stereo = wav(spec(2, 16, SampleFormat::Int), |writer| {
            for sample in [16384i16, -16384, 32767, 32767, -32768, 0] {
                writer.write_sample(sample).unwrap();
            }
        });
        let sound = decode(&stereo, 1.0).unwrap();
        assert_eq!(sound.rate, 8000);
        assert_eq!(sound.samples, [0.0, 32767.0 / 32768.0, -0.5]);
        for (bits, value) in [(8u16, 64i32), (24, 1 << 22), (32, 1 << 30)] {
            let file = wav(spec(1, bits, SampleFormat::Int), |writer| {
                writer.write_sample(value).unwrap();
            });
            assert_eq!(decode(&file, 1.0).unwrap().samples, [0.5], "{bits} bits");
        }
        let floats = wav(spec(1, 32, SampleFormat::Float), |writer| {
            writer.write_sample(0.25f32).unwrap();
        });
        assert!(looks_like_sound(&floats));
        assert_eq!(decode(&floats, 1.0).unwrap().samples, [0.25]);
    }

    // `goldens/make.py`: the same samples, written by Python's soundfile.
    #[test]
    fn flac_is_what_python_reads() {
        let sound = decode(include_bytes!("goldens/tone_44100_stereo.flac"), 1.0).unwrap();
        let expected = include_bytes!("goldens/tone_44100_mono.f32");
        let expected: Vec<f32> = expected
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        assert_eq!((sound.rate, sound.samples.len()), (44_100, expected.len()));
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-7;
        assert!(sound.samples.iter().zip(&expected).all(close));
    }

    #[test]
    fn what_is_damaged_or_too_long_is_told() {
        let silence = wav(spec(1, 16, SampleFormat::Int), |writer| {
            (0..8001).for_each(|_| writer.write_sample(0i16).unwrap());
        });
        assert_eq!(decode(&silence, 1.0).unwrap_err(), "the sound is longer than 1 seconds");
        assert!(decode(&silence[..30], 1.0).unwrap_err().starts_with("the WAV cannot be read"));
        assert!(decode(b"fLaC\0\0\0", 1.0).unwrap_err().starts_with("the FLAC cannot be read"));
        assert!(decode(b"", 1.0).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            flip in proptest::collection::vec((0usize..4000, proptest::prelude::any::<u8>()), 0..12),
            tail in 0usize..4000,
        ) {
            for file in [
                include_bytes!("goldens/tone_44100_stereo.flac").to_vec(),
                wav(spec(2, 16, SampleFormat::Int), |w| (0..900).for_each(|i| w.write_sample(i as i16).unwrap())),
            ] {
                let mut file = file;
                let length = file.len();
                flip.iter().for_each(|(at, byte)| file[at % length] = *byte);
                file.truncate(length.saturating_sub(tail % length));
                let _ = decode(&file, 0.5);
            }
        }
    }
}
