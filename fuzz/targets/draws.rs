#![no_main]

use sedflow_fuzz::{target, write_seeds};

libfuzzer_sys::fuzz_target!(init: write_seeds("draws"), |bytes: &[u8]| (target("draws").run)(bytes));
