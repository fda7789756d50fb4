//! Archives of the model store: ZIP, tar and gzip.
#![no_main]

#[path = "../archives.rs"]
#[allow(dead_code, reason = "each target checks one parser")]
mod archives;

libfuzzer_sys::fuzz_target!(|data: &[u8]| archives::archive(data));
