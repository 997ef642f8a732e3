#![no_main]

#[path = "../entry/decode_v2_text.rs"]
mod decode_v2_text;

libfuzzer_sys::fuzz_target!(|data: &[u8]| decode_v2_text::run(data));
