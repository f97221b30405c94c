//! The `hanse` command line; what it does is in the library, so that other programs can run it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    hanse_sdk::cli::main()
}
