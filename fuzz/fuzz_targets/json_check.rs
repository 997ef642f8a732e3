#![no_main]

#[path = "../entry/json_check.rs"]
mod json_check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| json_check::run(data));
