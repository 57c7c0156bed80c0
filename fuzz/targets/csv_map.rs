#![no_main]

use sedflow_fuzz::{target, write_seeds};

libfuzzer_sys::fuzz_target!(init: write_seeds("csv_map"), |bytes: &[u8]| (target("csv_map").run)(bytes));
