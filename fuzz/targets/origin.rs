//! `Origin` values and entries of an allow-list.
#![no_main]

#[path = "../invariants.rs"]
#[allow(dead_code, reason = "each target checks one parser")]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::origin(data));
