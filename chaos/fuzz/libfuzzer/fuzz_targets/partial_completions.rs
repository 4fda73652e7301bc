//! libFuzzer over the target `partial_completions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhaul_fuzz::run("partial_completions", input));
