//! libFuzzer over the target `history`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhaul_fuzz::run("history", input));
