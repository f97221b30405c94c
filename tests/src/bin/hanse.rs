//! The command line as the stories run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    hanse_sdk::cli::main()
}
