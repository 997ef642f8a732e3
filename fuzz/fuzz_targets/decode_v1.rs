#![no_main]

#[path = "../entry/decode_v1.rs"]
mod decode_v1;

libfuzzer_sys::fuzz_target!(|data: &[u8]| decode_v1::run(data));
