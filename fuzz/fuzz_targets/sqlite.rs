#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code, reason = "each target runs one")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::sqlite(bytes));
