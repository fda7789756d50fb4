//! Pictures.
#![no_main]

#[path = "../requests.rs"]
#[allow(dead_code, reason = "each target checks one parser")]
mod requests;

libfuzzer_sys::fuzz_target!(|data: &[u8]| requests::image(data));
