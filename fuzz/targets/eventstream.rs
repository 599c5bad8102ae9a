//! Amazon's event streams.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::eventstream::check(data));
