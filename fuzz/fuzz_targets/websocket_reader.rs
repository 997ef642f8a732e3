#![no_main]

#[path = "../entry/websocket_reader.rs"]
mod websocket_reader;

libfuzzer_sys::fuzz_target!(|data: &[u8]| websocket_reader::run(data));
