//! `audio`: WAV and FLAC in, what a model of waveforms says out.
//!
//! ```text
//!   request.rs     what a request may be         settings.rs   model-config.yaml
//!   decode.rs      WAV and FLAC to one channel   rate.rs       to another sampling rate
//!   waveforms.rs   the handler
//! ```

mod decode;
mod rate;
mod request;
mod settings;
mod waveforms;

pub(super) use waveforms::WaveformModel;
