#![no_main]

#[path = "../entry/pgoutput.rs"]
mod pgoutput;

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgoutput::run(data));
