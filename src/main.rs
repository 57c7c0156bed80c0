//! Parse, dispatch, print the error chain, choose the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    sedflow::cli::main()
}
