//! The frozen vectors are read by a program that shares no code with this one: `vectors/read.py`,
//! written from the manual.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::{env, io};

use hanse_tests::vectors::folder;

/// Set to `required` where the reader must run, as in `.ci/run`; elsewhere it is left out if Python
/// or its libraries cannot be had.
const SWITCH: &str = "HANSE_INDEPENDENT_READER";

fn run(program: &Path, arguments: &[&str]) -> Result<Output, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        Ok(output)
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{} {}: {said}", program.display(), arguments.join(" ")))
    }
}

/// A Python of its own in `venv`, with the reader's libraries.
fn python(venv: &Path) -> Result<std::path::PathBuf, String> {
    let shown = venv.to_string_lossy();
    run(Path::new("python3"), &["-m", "venv", &shown])?;
    let python = venv.join("bin").join("python");
    let libraries = folder().join("requirements.txt");
    let libraries = libraries.to_string_lossy();
    run(
        &python,
        &["-m", "pip", "install", "--quiet", "--requirement", &libraries],
    )?;
    Ok(python)
}

#[test]
fn a_reader_written_from_the_manual_agrees() {
    let venv = tempfile::tempdir().expect("a folder");
    let python = match python(venv.path()) {
        Ok(python) => python,
        Err(reason) => {
            assert!(env::var(SWITCH).as_deref() != Ok("required"), "{reason}");
            // Past the test harness, which would keep it to itself.
            let left_out = format!("the independent reader was LEFT OUT: {}\n", reason.trim());
            io::stderr()
                .write_all(left_out.as_bytes())
                .expect("standard error");
            return;
        }
    };
    let script = folder().join("read.py");
    let output = run(&python, &[&script.to_string_lossy()]).unwrap_or_else(|said| panic!("{said}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("good vectors read"), "{said}");
}
