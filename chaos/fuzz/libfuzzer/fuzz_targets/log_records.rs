//! libFuzzer over the target `log_records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhaul_fuzz::run("log_records", input));
