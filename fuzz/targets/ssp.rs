#![no_main]

use sedflow_fuzz::{target, write_seeds};

libfuzzer_sys::fuzz_target!(init: write_seeds("ssp"), |bytes: &[u8]| (target("ssp").run)(bytes));
