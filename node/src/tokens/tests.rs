use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_token_opens_what_it_was_made_for_until_it_is_revoked() {
    let node = tempfile::tempdir().unwrap();
    let mut offline = Tokens::open(node.path()).unwrap();
    let mut daemon = Tokens::open(node.path()).unwrap();
    let path = offline.add("siem", [Role::Read], Tlp::Green, NOW).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let bearer = text.trim_end();
    assert_eq!(bearer.len(), "hanse_".len() + 43);
    assert_eq!(mode(&path), 0o600);
    let book = node.path().join("tokens/tokens.json");
    assert_eq!(mode(&book), 0o600);
    assert!(!fs::read_to_string(&book).unwrap().contains(bearer));

    assert_eq!(daemon.check(bearer), None);
    assert!(daemon.reload_if_changed().unwrap());
    assert!(!daemon.reload_if_changed().unwrap());
    let token = daemon.check(bearer).unwrap();
    assert_eq!((token.name.as_str(), token.ceiling), ("siem", Tlp::Green));
    assert_eq!(daemon.check(&bearer[..bearer.len() - 1]), None);
    assert_eq!(daemon.check(""), None);

    offline.revoke("siem").unwrap();
    assert!(daemon.reload_if_changed().unwrap());
    assert_eq!(daemon.check(bearer), None);
    assert!(!path.exists());
    assert!(matches!(offline.revoke("siem"), Err(TokenError::Unknown(_))));
}

#[test]
fn two_commands_do_not_lose_each_others_tokens() {
    let node = tempfile::tempdir().unwrap();
    let mut one = Tokens::open(node.path()).unwrap();
    let mut other = Tokens::open(node.path()).unwrap();
    one.add("admin", [Role::Admin, Role::Read], Tlp::Red, NOW)
        .unwrap();
    other.add("publisher", [Role::Publish], CEILING, NOW).unwrap();
    assert!(matches!(
        one.add("publisher", [Role::Read], CEILING, NOW),
        Err(TokenError::Exists(_))
    ));
    let names: Vec<String> = Tokens::open(node.path())
        .unwrap()
        .list()
        .map(|token| token.name.clone())
        .collect();
    assert_eq!(names, ["admin", "publisher"]);
    for name in ["", "../x", "a/b", "A", "-a", "a-", ".token", &"a".repeat(41)] {
        assert!(
            matches!(
                one.add(name, [Role::Read], CEILING, NOW),
                Err(TokenError::Name(_))
            ),
            "{name}"
        );
    }
    assert!(matches!(
        one.add("none", [], CEILING, NOW),
        Err(TokenError::NoRole)
    ));
}

#[test]
fn a_book_that_others_can_write_lets_nobody_in() {
    let node = tempfile::tempdir().unwrap();
    let mut tokens = Tokens::open(node.path()).unwrap();
    let path = tokens.add("siem", [Role::Read], CEILING, NOW).unwrap();
    let bearer = fs::read_to_string(path).unwrap();
    let bearer = bearer.trim_end();
    let book = node.path().join("tokens/tokens.json");
    let text = fs::read_to_string(&book).unwrap();

    fs::remove_file(&book).unwrap();
    fs::write(&book, format!("{text} ")).unwrap();
    fs::set_permissions(&book, Permissions::from_mode(0o644)).unwrap();
    let error = tokens.reload_if_changed().unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    assert_eq!(tokens.check(bearer), None);
    fs::set_permissions(&book, Permissions::from_mode(0o600)).unwrap();
    assert!(tokens.reload_if_changed().unwrap());
    assert!(tokens.check(bearer).is_some());

    fs::write(&book, "{\"format\":2,\"tokens\":{}}").unwrap();
    fs::set_permissions(&book, Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(
        tokens.reload_if_changed(),
        Err(TokenError::Malformed { .. })
    ));
    assert_eq!(tokens.check(bearer), None);

    fs::write(&book, text).unwrap();
    assert!(tokens.reload_if_changed().unwrap());
    assert!(tokens.check(bearer).is_some());
    fs::set_permissions(node.path().join("tokens"), Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(
        Tokens::open(node.path()),
        Err(TokenError::Permissions { .. })
    ));
}
