//! libFuzzer over the target `tokens`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhaul_fuzz::run("tokens", input));
