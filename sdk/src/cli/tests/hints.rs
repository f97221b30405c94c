//! Commands that hints, help and the manual name: each must be one.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

use super::*;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is = |extension| path.extension().is_some_and(|found| found == extension);
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("tests") {
            sources(&path, found);
        } else if (is("rs") && !path.ends_with("tests.rs")) || is("md") || is("toml") {
            found.push(path);
        }
    }
}

/// Command lines of `program` that a text names: between backticks, or on lines of their own.
pub(super) fn named(text: &str, program: &str) -> Vec<String> {
    let start = format!("{program} ");
    let quoted = text.split('`').filter(|piece| piece.starts_with(&start));
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with(&start));
    let bare = |line| {
        ["\")]", "\";"]
            .iter()
            .fold(line, |line: &str, end| line.strip_suffix(end).unwrap_or(line))
    };
    let lines = lines.map(bare);
    let told = quoted.filter(|piece| piece.len() < 200).chain(lines);
    // A text in the source goes on behind a backslash, and a comment behind its slashes.
    let joined = told.map(|piece| piece.replace(['\\', '\n'], " ").replace(" /// ", " "));
    joined.collect()
}

/// The words of a command line up to a comment, a pipe or another command, with something in the place
/// of what stands for something.
fn words(line: &str) -> Vec<String> {
    let quoted = line
        .replace("'Northern Water'", "Northern")
        .replace("\"Port City League\"", "League");
    let quoted = quoted
        .replace("'ACME Water'", "ACME")
        .replace("'hxxps://evil[.]example/login'", "evil.example");
    let word = |word: &str| match word.trim_matches(['"', '\'']) {
        "HANDLE" | "{own}" => "acme".to_owned(),
        "N" => "1".to_owned(),
        "LINES:HASH" => "1:9f86d081".to_owned(),
        "ROLE" => "read".to_owned(),
        "5f0c…9a" => "5f".repeat(32),
        word => word.trim_end_matches('…').to_owned(),
    };
    let words = quoted.split_whitespace().map(word);
    words
        .take_while(|word| !["#", "|", ">", "&", "…"].contains(&word.as_str()))
        .collect()
}

/// What is wrong with a command line that is told to people, if anything. A command that is only
/// mentioned, without any argument, may lack what it needs.
pub(super) fn wrong(line: &str, parse: impl Fn(&[String]) -> Option<ErrorKind>) -> Option<ErrorKind> {
    let words = words(line);
    let plain =
        |word: &String| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
    let mentioned = words.iter().skip(1).all(plain);
    let lacks = |kind: &ErrorKind| {
        matches!(
            kind,
            ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        )
    };
    let kind = match words.get(1).map(String::as_str) {
        // Help of a command, and a flag that is spoken of by itself.
        Some("help" | "") | None => return None,
        Some(flag) if words.len() == 2 && flag.starts_with("--") => return None,
        _ => parse(&words)?,
    };
    let fine =
        kind == ErrorKind::DisplayHelp || kind == ErrorKind::DisplayVersion || (mentioned && lacks(&kind));
    (!fine).then_some(kind)
}

#[test]
fn every_command_that_is_named_anywhere_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for folder in ["sdk/src", "node/src", "testnet/src", "examples"] {
        sources(&root.join(folder), &mut files);
    }
    files.extend(["README.md", "ARCHITECTURE.md"].map(|name| root.join(name)));
    let parse = |words: &[String]| Arguments::try_parse_from(words).err().map(|error| error.kind());
    let (mut count, mut bad) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for line in named(&text, "hanse") {
            count += 1;
            bad.extend(wrong(&line, parse).map(|kind| format!("{}: `{line}`: {kind}", file.display())));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(count > 40, "{count} were found");
    assert_eq!(wrong("hanse run", parse), Some(ErrorKind::InvalidSubcommand));
    assert_eq!(
        wrong("hanse publish --to acme", parse),
        Some(ErrorKind::MissingRequiredArgument)
    );
}
