//! libFuzzer over the target `stored_records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhaul_fuzz::run("stored_records", input));
