#![no_main]

#[path = "../entry/changes_binding.rs"]
mod changes_binding;

libfuzzer_sys::fuzz_target!(|data: &[u8]| changes_binding::run(data));
