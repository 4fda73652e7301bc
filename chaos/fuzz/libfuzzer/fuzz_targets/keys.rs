//! libFuzzer over the target `keys`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhaul_fuzz::run("keys", input));
