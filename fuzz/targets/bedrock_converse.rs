//! Bedrock's Converse: requests and answers.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::dialect::bedrock_converse(data));
