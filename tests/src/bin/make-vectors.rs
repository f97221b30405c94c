//! Writes the frozen vectors and the corpora that fuzzing starts from. A vector whose bytes would change is left as it is and named, and so is
//! a file that nothing makes: frozen is frozen. `--replace NAME` says otherwise for one of them.

use std::process::ExitCode;
use std::{env, fs};

use hanse_node::settings::Settings;
use hanse_protocol::charter::member::{MemberKind, Profile};
use hanse_tests::fuzz::{self, corpora};
use hanse_tests::vectors::{Vector, folder, load_all, make};

/// A corpus's file: its target, its name, its bytes.
type Seed = (&'static str, String, Vec<u8>);

fn seeds_of(vector: &Vector) -> Vec<Seed> {
    // Long texts of one letter teach a fuzzer nothing.
    let short = fuzz::seeds(vector)
        .into_iter()
        .filter(|(_, seed)| seed.len() <= 8_192);
    short
        .map(|(target, seed)| (target, vector.name.clone(), seed))
        .collect()
}

/// The settings every node is given.
fn settings() -> Option<Seed> {
    let profile = Profile {
        handle: "port-city".parse().ok()?,
        name: "Port City".to_owned(),
        kind: MemberKind::City,
        sector: "government".to_owned(),
        country: "DE".to_owned(),
    };
    let folder = tempfile::tempdir().ok()?;
    let path = Settings::write_new(folder.path(), &profile).ok()?;
    Some(("settings", "example".to_owned(), fs::read(path).ok()?))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let mut replaced = Vec::new();
    for pair in arguments.chunks(2) {
        match pair {
            [option, name] if option == "--replace" => replaced.push(name.clone()),
            _ => {
                eprintln!("usage: make-vectors [--replace NAME]...");
                return ExitCode::from(2);
            }
        }
    }
    let folder = folder();
    let made = make::all();
    let mut kept = 0;
    let mut refused = 0;
    for vector in &made {
        let path = vector.path(&folder);
        let old = fs::read_to_string(&path).ok();
        if old.as_ref() == Some(&vector.text()) {
            kept += 1;
        } else if old.is_some() && !replaced.contains(&vector.name) {
            eprintln!("{} would change: frozen, left as it is", path.display());
            refused += 1;
        } else {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, vector.text()).expect("written");
            println!("wrote {}", path.display());
        }
    }
    let is_made = |vector: &Vector| {
        made.iter()
            .any(|m| m.name == vector.name && m.good == vector.good)
    };
    for vector in load_all(&folder).iter().filter(|vector| !is_made(vector)) {
        eprintln!("{} is made by nothing any longer", vector.path(&folder).display());
        refused += 1;
    }
    for (target, name, seed) in made.iter().flat_map(seeds_of).chain(settings()) {
        let folder = corpora().join(target);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), seed).expect("written");
    }
    println!("{} vectors, {kept} as they were", made.len());
    if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
