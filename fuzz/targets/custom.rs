//! Dialects that a file describes: requests and answers.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::dialect::custom(data));
