#![no_main]

#[path = "../entry/join_payload.rs"]
mod join_payload;

libfuzzer_sys::fuzz_target!(|data: &[u8]| join_payload::run(data));
