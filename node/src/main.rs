//! `hansed`, the Hanse daemon. Everything is in the library, so that other programs of this
//! workspace can run a node too.

use std::process::ExitCode;

fn main() -> ExitCode {
    hanse_node::command::run(std::env::args_os())
}
