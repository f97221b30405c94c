//! The frozen vectors are read as they say, and still made as they are.

use std::collections::BTreeSet;

use hanse_tests::vectors::{folder, load_all, make, read};

#[test]
fn every_vector_is_read_as_it_says() {
    let vectors = load_all(&folder());
    assert!(vectors.len() > 200, "they are there");
    let mut wrong = Vec::new();
    for vector in vectors {
        let read = read::outcome(&vector.kind, &vector.given);
        if read != vector.expect {
            wrong.push(format!(
                "{}: read {read}, expected {}",
                vector.name, vector.expect
            ));
        }
        if read.get("refused").is_some() == vector.good {
            wrong.push(format!("{} lies in the wrong folder", vector.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_generator_makes_what_is_frozen() {
    let frozen: BTreeSet<String> = load_all(&folder()).iter().map(|vector| vector.text()).collect();
    for vector in make::all() {
        assert!(
            frozen.contains(&vector.text()),
            "{} would change: a new layout, or `make-vectors --replace` with a reason",
            vector.name
        );
    }
    assert_eq!(frozen.len(), make::all().len(), "a file that nothing makes");
}
