use super::*;

fn acme() -> Profile {
    Profile {
        handle: "acme-water".parse().unwrap(),
        name: "Acme \"Water\" \\ Works 🌊".to_owned(),
        kind: "utility".parse().unwrap(),
        sector: "water".to_owned(),
        country: "DE".to_owned(),
    }
}

fn variables(pairs: &[(&str, &str)]) -> Option<HashMap<String, String>> {
    Some(
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    )
}

fn folder_with(extra: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = Settings::write_new(folder.path(), &acme()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + extra).unwrap();
    folder
}

#[test]
fn a_new_node_starts_with_the_documented_defaults() {
    let folder = folder_with("");
    let settings = Settings::load_with(folder.path(), variables(&[])).unwrap();
    assert_eq!(settings.member, acme());
    assert_eq!(settings.api.listen.to_string(), "127.0.0.1:7474");
    assert_eq!(settings.mesh.listen, ["/ip4/0.0.0.0/tcp/7475"]);
    assert_eq!(settings.mesh.dialable(), Vec::<String>::new());
    assert_eq!(settings.healing.every, Duration::from_secs(30));
    assert_eq!(settings.store.engine, Engine::Fjall);
    assert!(matches!(
        Settings::write_new(folder.path(), &acme()),
        Err(SettingsError::Exists(_))
    ));
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_example() {
    let folder = tempfile::tempdir().unwrap();
    let path = Settings::write_new(folder.path(), &acme()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text
        .replace("#every = \"30s\"", "every = \"5m\"")
        .replace("#hub = false", "hub = true");
    std::fs::write(&path, text).unwrap();
    let settings = Settings::load_with(
        folder.path(),
        variables(&[
            ("HANSED__HEALING__EVERY", "2m"),
            (
                "HANSED__MESH__LISTEN",
                "/ip4/127.0.0.1/tcp/0,/ip4/192.0.2.7/tcp/7475",
            ),
            ("HANSED__MESH__PROFILE", "peer"),
            ("HANSED__STORE__ENGINE", "sled"),
            ("HANSED__MEMBER__SECTOR", "42"),
            ("UNRELATED", "x"),
            ("HANSED_PASSPHRASE", "no setting"),
        ]),
    )
    .unwrap();
    assert_eq!(settings.healing.every, Duration::from_secs(120));
    assert_eq!(settings.mesh.profile, MeshProfile::Peer);
    assert_eq!(settings.store.opaque_max, 10 << 30);
    assert_eq!(settings.store.retention, crate::exchange::Retention::default());
    assert_eq!(settings.store.engine, Engine::Sled);
    assert_eq!(settings.member.sector, "42");
    assert_eq!(settings.mesh.listen.len(), 2);
    assert_eq!(settings.mesh.dialable(), ["/ip4/192.0.2.7/tcp/7475"]);
}

#[test]
fn what_is_wrong_is_named_with_where_it_stands() {
    let cases = [
        ("[mesh.listn]\nx = 1\n", "unknown key `mesh.listn`"),
        ("listn = 1\n", "unknown key `log.listn`"),
        ("[mehs]\nhub = true\n", "unknown key `mehs.hub`"),
        ("[unfinished\n", "cannot be read as settings"),
    ];
    for (extra, expected) in cases {
        let folder = folder_with(extra);
        let error = Settings::load_with(folder.path(), variables(&[]))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(FILE), "{error}");
    }
    let cases = [
        (
            "HANSED__MESH__LISTN",
            "x",
            "unknown key `mesh.listn` in the environment",
        ),
        ("HANSED__API__LISTEN", "0.0.0.0:7474", "no loopback address"),
        ("HANSED__STORE__ENGINE", "memory", "for tests"),
        ("HANSED__HEALING__EVERY", "30", "no span of time"),
        (
            "HANSED__KEYS__PASSPHRASE",
            "correct horse",
            "names no place of a secret",
        ),
        ("HANSED__KEYS__CREDENTIAL", "../etc/x", "no plain file name"),
        ("HANSED__MEMBER__KIND", "guild", "no kind of member"),
        ("HANSED__MEMBER__COUNTRY", "Germany", "two capital letters"),
        ("HANSED__MESH__LISTEN", "localhost:1", "no multiaddress"),
    ];
    for (key, value, expected) in cases {
        let folder = folder_with("");
        let error = Settings::load_with(folder.path(), variables(&[(key, value)])).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn without_a_member_it_says_to_run_init() {
    let folder = tempfile::tempdir().unwrap();
    let error = Settings::load_with(folder.path(), variables(&[])).unwrap_err();
    assert!(matches!(&error, SettingsError::Missing(_)), "{error}");
    std::fs::write(folder.path().join(FILE), EXAMPLE).unwrap();
    let error = Settings::load_with(folder.path(), variables(&[])).unwrap_err();
    assert_eq!(error.to_string(), "`member.handle` is not set: run `hansed init`");
}

const HARBOUR: &str =
    "[communities.south-harbour]\nlisten = [\"/ip4/127.0.0.1/tcp/7480\"]\nhandle = \"other\"\n";

#[test]
fn a_further_community_has_member_mesh_and_folder_of_its_own_and_the_rest_is_the_nodes() {
    let folder = folder_with(&format!("[keys]\npassphrase = \"file:secret\"\n{HARBOUR}"));
    let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
    let text = text.replacen("\n[keys]\n", "\n", 1);
    std::fs::write(folder.path().join(FILE), text).unwrap();
    let settings = Settings::load_with(folder.path(), variables(&[])).unwrap();
    let places = settings.places(folder.path());
    let [first, harbour] = &places[..] else {
        panic!("two communities: {places:?}");
    };
    assert!(first.is_first() && !harbour.is_first());
    assert_eq!(first.folder, folder.path());
    assert_eq!(first.settings.mesh.listen, ["/ip4/0.0.0.0/tcp/7475"]);
    assert_eq!(harbour.folder, folder.path().join("communities/south-harbour"));
    assert_eq!(harbour.settings.member.handle.as_str(), "other");
    assert_eq!(harbour.settings.member.name, acme().name);
    assert_eq!(harbour.settings.mesh.listen, ["/ip4/127.0.0.1/tcp/7480"]);
    assert_eq!(
        harbour.settings.keys.passphrase,
        crate::keystore::Source::File(folder.path().join("secret"))
    );
    let unknown = settings.place(folder.path(), "north").unwrap_err().to_string();
    assert!(unknown.contains("there are: first, south-harbour"), "{unknown}");
}

#[test]
fn what_is_wrong_with_a_further_community_is_named() {
    let cases = [
        (
            HARBOUR.replace("listen", "listn"),
            "unknown key `communities.south-harbour.listn`",
        ),
        (HARBOUR.replace("listen", "external"), "a port of its own"),
        (
            HARBOUR.replace("7480", "7475").replace("127.0.0.1", "0.0.0.0"),
            "`first` and `south-harbour` both listen",
        ),
        (
            HARBOUR.replace("south-harbour", "first"),
            "of the node's folder itself",
        ),
        (HARBOUR.replace("south-harbour", "South"), "is no name"),
        (HARBOUR.replace("/ip4/127.0.0.1/tcp/", ""), "no multiaddress"),
        (
            HARBOUR.replace("\"other\"", "\"Other\""),
            "`south-harbour`: member.handle",
        ),
    ];
    for (extra, expected) in cases {
        let folder = folder_with(&extra);
        let error = Settings::load_with(folder.path(), variables(&[])).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
