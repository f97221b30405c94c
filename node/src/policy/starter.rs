//! The set to start from: a city with water works, hospitals, telecom operators, a CERT and vendors as
//! partners, written to be read aloud, with its own expectations.

use super::files::PolicyFile;

/// The files of the starter set, as a folder of policies holds them.
pub fn starter() -> Vec<PolicyFile> {
    macro_rules! files {
        ($($name:literal)*) => {
            vec![$(PolicyFile::new($name, include_str!(concat!("../../policies/starter/", $name)))),*]
        };
    }
    files![
        "cert.cedar"
        "cities.cedar"
        "everybody.cedar"
        "forwarding.cedar"
        "hospitals.cedar"
        "members.toml"
        "never.cedar"
        "receiving.cedar"
        "redaction.toml"
        "telecom.cedar"
        "tests.toml"
        "vendors.cedar"
        "water.cedar"
    ]
}
