//! Stories about keys at rest: what opens, what is refused and why, what a kill leaves behind.

use super::*;

#[test]
fn a_secret_comes_back_after_reopening_and_only_under_its_name() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("keys");
    let store = Keystore::create(&folder).unwrap();
    store.seal_file("signing.key", b"first").unwrap();
    store.seal_file("signing.key", b"second").unwrap();

    let store = Keystore::open(&folder).unwrap();
    assert_eq!(store.open_file("signing.key").unwrap().as_slice(), b"second");
    fs::rename(folder.join("signing.key"), folder.join("sealing.key")).unwrap();
    assert!(matches!(
        store.open_file("signing.key"),
        Err(KeystoreError::Missing(_))
    ));
    assert!(matches!(
        store.open_file("sealing.key"),
        Err(KeystoreError::Unauthentic(_))
    ));
    assert!(matches!(store.open_file("../etc/x"), Err(KeystoreError::Name(_))));
    assert!(matches!(Keystore::create(&folder), Err(KeystoreError::Exists(_))));
}

#[test]
fn a_master_key_open_to_others_is_refused_with_the_remedy() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("keys");
    Keystore::create(&folder).unwrap();
    let path = folder.join(MASTER);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let refusal = Keystore::open(&folder).err().unwrap().to_string();
    assert!(refusal.contains("chmod 600"), "{refusal}");
}

#[test]
fn a_changed_byte_a_wrong_key_a_cut_and_a_newer_format_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let (ours, theirs) = (home.path().join("ours"), home.path().join("theirs"));
    let store = Keystore::create(&ours).unwrap();
    store.seal_file("node.key", &[7; 32]).unwrap();
    let sealed = fs::read(ours.join("node.key")).unwrap();
    let other = Keystore::create(&theirs).unwrap();
    fs::write(theirs.join("node.key"), &sealed).unwrap();
    assert!(matches!(
        other.open_file("node.key"),
        Err(KeystoreError::Unauthentic(_))
    ));

    let attempt = |bytes: &[u8]| {
        fs::write(ours.join("node.key"), bytes).unwrap();
        store.open_file("node.key").err().unwrap()
    };
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(matches!(attempt(&changed), KeystoreError::Unauthentic(_)));
    assert!(matches!(attempt(&sealed[..40]), KeystoreError::Malformed(_)));
    let mut newer = sealed;
    newer[5] = 2;
    assert!(matches!(attempt(&newer), KeystoreError::Newer { format: 2, .. }));
}

fn passphrase(text: &str) -> Wrapping {
    Wrapping::Passphrase(Zeroizing::new(text.as_bytes().to_vec()))
}

fn credential(byte: u8) -> Wrapping {
    Wrapping::Credential(Zeroizing::new(vec![byte; 40]))
}

#[test]
fn a_rewrapped_key_opens_under_the_new_secret_only_and_seals_as_before() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("keys");
    let path = folder.join(MASTER);
    let store = Keystore::create(&folder).unwrap();
    store.seal_file("node.key", b"kept").unwrap();
    let bare = fs::read(&path).unwrap();

    let first = passphrase("correct horse battery");
    store.rewrap(&first).unwrap();
    assert_eq!(Keystore::kind(&folder).unwrap(), Kind::Passphrase);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let wrapped = fs::read(&path).unwrap();
    assert!(
        !wrapped
            .windows(8)
            .any(|bytes| bare.windows(8).any(|b| b == bytes))
    );
    let store = Keystore::open_under(&folder, &first).unwrap();
    assert_eq!(store.open_file("node.key").unwrap().as_slice(), b"kept");
    let wrong = |wrapping: &Wrapping| Keystore::open_under(&folder, wrapping).err().unwrap();
    assert!(matches!(
        wrong(&passphrase("correct horse batterz")),
        KeystoreError::WrongSecret {
            kind: Kind::Passphrase,
            ..
        }
    ));
    assert!(matches!(
        wrong(&Wrapping::Bare),
        KeystoreError::Kind {
            found: Kind::Passphrase,
            asked: Kind::Bare,
            ..
        }
    ));

    store.rewrap(&credential(1)).unwrap();
    let store = Keystore::open_under(&folder, &credential(1)).unwrap();
    assert_eq!(store.open_file("node.key").unwrap().as_slice(), b"kept");
    assert!(matches!(
        wrong(&credential(2)),
        KeystoreError::WrongSecret {
            kind: Kind::Credential,
            ..
        }
    ));
    store.rewrap(&Wrapping::Bare).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bare);
}

#[test]
fn a_weak_secret_wraps_nothing() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("keys");
    let weak = Wrapping::Credential(Zeroizing::new(vec![1; 31]));
    for wrapping in [&passphrase("eleven byte"), &weak] {
        assert!(matches!(
            Keystore::create_under(&folder, wrapping),
            Err(KeystoreError::Weak(..))
        ));
    }
    let store = Keystore::create(&folder).unwrap();
    assert!(matches!(store.rewrap(&weak), Err(KeystoreError::Weak(..))));
    Keystore::open(&folder).unwrap();
}

#[test]
fn a_damaged_newer_or_greedy_master_key_is_told_from_a_wrong_secret() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("keys");
    let path = folder.join(MASTER);
    Keystore::create_under(&folder, &credential(1)).unwrap();
    let whole = fs::read(&path).unwrap();
    let attempt = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Keystore::open_under(&folder, &credential(1)).err()
    };
    for place in 6..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        assert!(
            matches!(attempt(&changed), Some(KeystoreError::Damaged(_))),
            "{place}"
        );
    }
    for length in [0, 31, 33, whole.len() - 1] {
        assert!(attempt(&whole[..length]).is_some());
    }
    let mut newer = whole.clone();
    newer[5] = 2;
    assert!(matches!(
        attempt(&newer),
        Some(KeystoreError::Newer { format: 2, .. })
    ));
    // A file that asks for a terabyte of memory is refused before any is taken.
    let mut greedy = whole.clone();
    greedy[6] = 1;
    greedy[7..11].copy_from_slice(&(1u32 << 30).to_be_bytes());
    let end = greedy.len() - 8;
    let sum = blake3::hash(&greedy[..end]);
    greedy[end..].copy_from_slice(&sum.as_bytes()[..8]);
    fs::write(&path, &greedy).unwrap();
    let refusal = Keystore::open_under(&folder, &passphrase("correct horse battery")).err();
    assert!(matches!(refusal, Some(KeystoreError::Malformed(_))));
    assert!(attempt(&whole).is_none());
}

#[test]
fn what_a_broken_off_rewrap_leaves_behind_does_no_harm() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("keys");
    let store = Keystore::create_under(&folder, &credential(1)).unwrap();
    for left in [0, 20, wrapping::WRAPPED] {
        let content = wrapping::wrap(&store.master, &credential(2)).unwrap();
        let draft = folder.join(".master.key.new");
        fs::write(&draft, &content[..left]).unwrap();
        store.rewrap(&credential(2)).unwrap();
        fs::write(&draft, &content[..left]).unwrap();
        Keystore::open_under(&folder, &credential(2)).unwrap();
        assert!(!draft.exists(), "it might be the bare key");
        store.rewrap(&credential(1)).unwrap();
    }
}

/// Names the folder to the child of the test below, which is this very test binary.
const REWRAPPED: &str = "HANSE_REWRAPPED_KEYS";

/// Not a test by itself: wraps one way and the other until it is killed.
#[test]
fn rewrapping_child() {
    let Some(folder) = std::env::var_os(REWRAPPED) else {
        return;
    };
    let folder = PathBuf::from(folder);
    let opened = [1, 2].map(|byte| Keystore::open_under(&folder, &credential(byte)));
    let store = opened.into_iter().find_map(Result::ok).unwrap();
    let mut told = io::stdout();
    for byte in [2, 1].into_iter().cycle() {
        store.rewrap(&credential(byte)).unwrap();
        writeln!(told, "wrapped").unwrap();
    }
}

#[test]
fn a_kill_while_rewrapping_leaves_the_old_key_or_the_new() {
    use std::io::{BufRead, BufReader};
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("keys");
    let store = Keystore::create_under(&folder, &credential(1)).unwrap();
    store.seal_file("node.key", b"kept").unwrap();
    for round in 0..20u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "keystore::tests::rewrapping_child", "--nocapture"])
            .env(REWRAPPED, &folder)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Held until the child is dead: a closed pipe would end it by itself.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines
            .by_ref()
            .map(Result::unwrap)
            .filter(|line| line.ends_with("wrapped"))
            .take(3);
        assert_eq!(seen.count(), 3);
        std::thread::sleep(std::time::Duration::from_micros(round * 137));
        child.kill().unwrap();
        child.wait().unwrap();
        let opened = [1, 2].map(|byte| Keystore::open_under(&folder, &credential(byte)));
        let store = opened.into_iter().find_map(Result::ok);
        let store = store.expect("the key opens the old way or the new");
        assert_eq!(store.open_file("node.key").unwrap().as_slice(), b"kept");
    }
}
