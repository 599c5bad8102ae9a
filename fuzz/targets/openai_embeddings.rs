//! OpenAI's embeddings: requests and answers.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::dialect::openai_embeddings(data));
