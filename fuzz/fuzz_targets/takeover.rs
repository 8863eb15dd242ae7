//! Hands what the fuzzer makes to `takeover::run`, which says what must hold.
//! It does nothing else, so that a seed or a finding runs without a fuzzer too.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| meridian_fuzz::takeover::run(input));
