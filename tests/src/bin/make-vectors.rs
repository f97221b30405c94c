//! Writes the frozen vectors. A vector whose bytes would change is left as it is and named, and so is
//! a file that nothing makes: frozen is frozen. `--replace NAME` says otherwise for one of them.

use std::process::ExitCode;
use std::{env, fs};

use hanse_tests::vectors::{Vector, folder, load_all, make};

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
    println!("{} vectors, {kept} as they were", made.len());
    if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
