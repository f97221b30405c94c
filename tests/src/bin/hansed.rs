//! The daemon as the stories run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    hanse_node::command::run(std::env::args_os())
}
