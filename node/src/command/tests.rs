//! Commands that hints, help and the manual name: each must be one.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

use super::*;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name != "tests.rs" && [".rs", ".toml", ".service"].iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
}

/// What is wrong with a command line that is told to people. One that is only mentioned, without any
/// argument, may lack what it needs.
fn wrong(line: &str) -> Option<ErrorKind> {
    let line = line.replace(['\\', '\n'], " ").replace(" /// ", " ");
    let line = line
        .replace("\"Port City\"", "City")
        .replace("\"ACME Water\"", "ACME")
        .replace("'ACME Water'", "ACME");
    let words = line.split_whitespace().map(|word| match word {
        "NAME" => "my-siem",
        "ROLE" => "read",
        word => word,
    });
    let words: Vec<&str> = words.take_while(|word| !["#", "&", "|"].contains(word)).collect();
    let kind = Hansed::try_parse_from(&words).err()?.kind();
    let plain = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
    let mentioned = words.iter().all(plain)
        && matches!(
            kind,
            ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
    (!mentioned && kind != ErrorKind::DisplayHelp).then_some(kind)
}

#[test]
fn every_command_that_is_named_anywhere_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = vec![root.join("README.md")];
    for folder in ["sdk/src", "node/src", "contrib"] {
        sources(&root.join(folder), &mut files);
    }
    let (mut count, mut bad) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let quoted = text
            .split('`')
            .filter(|piece| piece.starts_with("hansed ") && piece.len() < 200);
        let lines = text.lines().map(|line| line.trim().trim_start_matches("# "));
        let lines = lines.filter(|line| line.starts_with("hansed "));
        let lines = lines.map(|line| line.strip_suffix("\";").unwrap_or(line));
        for line in quoted.chain(lines) {
            count += 1;
            bad.extend(wrong(line).map(|kind| format!("{}: `{line}`: {kind}", file.display())));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(count > 20, "{count} were found");
    assert_eq!(wrong("hansed run"), Some(ErrorKind::InvalidSubcommand));
    assert_eq!(
        wrong("hansed token add my-siem"),
        Some(ErrorKind::MissingRequiredArgument)
    );
}

#[test]
fn a_country_is_one_and_a_name_says_something() {
    assert!(country("DE").is_ok() && country("XX").is_err() && country("de").is_err());
    assert!(display_name("ACME Water").is_ok() && display_name(" ").is_err());
}
