//! JSON bodies of predictions.
#![no_main]

#[path = "../requests.rs"]
#[allow(dead_code, reason = "each target checks one parser")]
mod requests;

libfuzzer_sys::fuzz_target!(|data: &[u8]| requests::json_tensors(data));
