#![no_main]

use sedflow_fuzz::{target, write_seeds};

libfuzzer_sys::fuzz_target!(init: write_seeds("fits"), |bytes: &[u8]| (target("fits").run)(bytes));
