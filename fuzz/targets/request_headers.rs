//! `Access-Control-Request-Headers` lines and configured lists of headers and methods.
#![no_main]

#[path = "../invariants.rs"]
#[allow(dead_code, reason = "each target checks one parser")]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::request_headers(data));
