//! libFuzzer over the target `commands`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhaul_fuzz::run("commands", input));
