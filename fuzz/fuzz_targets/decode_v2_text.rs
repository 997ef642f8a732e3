#![no_main]

use phoenix_wire::{MessageKind, Version};

#[path = "../entry/decode.rs"]
mod decode;

libfuzzer_sys::fuzz_target!(|data: &[u8]| decode::run(Version::V2, MessageKind::Text, data));
