#![no_main]

use sedflow_fuzz::{target, write_seeds};

libfuzzer_sys::fuzz_target!(init: write_seeds("expression"), |bytes: &[u8]| (target("expression").run)(bytes));
