#![no_main]

#[path = "../entry/decode_v2_binary.rs"]
mod decode_v2_binary;

libfuzzer_sys::fuzz_target!(|data: &[u8]| decode_v2_binary::run(data));
