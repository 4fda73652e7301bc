//! libFuzzer over the target `wal_damage`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhaul_fuzz::run("wal_damage", input));
