//! JSON, STIX, patterns, observables and settings.

use std::fs;
use std::sync::LazyLock;

use hanse_node::settings::Settings;
use hanse_protocol::content::Content;
use hanse_protocol::json::Json;
use hanse_protocol::limits;
use hanse_protocol::observable::Observable;
use hanse_protocol::pattern::Pattern;
use hanse_protocol::redact::{self, Cut, Glance, Outlook, Redaction, Rules, Sight};
use hanse_protocol::stix::Object;
use hanse_protocol::tlp::Tlp;
use tempfile::TempDir;

pub(super) fn content(data: &[u8]) {
    if let Ok(content) = Content::read(data) {
        assert!(content.objects.len() <= limits::OBJECTS, "within bounds");
        let (unmarked, floor) = (content.unmarked, content.floor);
        let again = Content::write_variants(unmarked, floor, &content.objects, &content.redacted);
        assert_eq!(Content::read(&again).as_ref(), Ok(&content), "verbatim");
        content
            .objects
            .iter()
            .for_each(|object| self::object(object.as_bytes()));
    }
}

pub(super) fn json(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && Json::parse(text).is_ok()
    {
        // What we take, others take.
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "JSON");
    }
}

pub(super) fn object(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Object::parse(text) {
        Err(error) => drop(error.to_string()),
        Ok(object) => {
            assert_eq!(object.raw(), text, "verbatim");
            assert!(
                object.tlp(Tlp::Clear, Tlp::Amber) >= Tlp::Amber,
                "never below the floor"
            );
            let observables = object.observables();
            assert!(observables.len() <= limits::OBSERVABLES, "within bounds");
            observables.iter().for_each(canonical);
            redacted(&object);
        }
    }
}

/// What is left of any object is sound, and the same each time.
fn redacted(object: &Object<'_>) {
    static RULES: LazyLock<Rules> = LazyLock::new(|| {
        let patterns = [("digits", "[0-9]{3}"), ("words", "(?i)a[a-z]+")];
        Rules::new(&patterns, &Rules::DOMAINS, &Rules::NETWORKS).expect("rules")
    });
    static ALL: LazyLock<Redaction> = LazyLock::new(|| Redaction {
        properties: ["description".to_owned()].into(),
        patterns: ["digits".to_owned(), "words".to_owned()].into(),
        internal: true,
        victims: true,
        pseudonyms: false,
    });
    let sight = Sight {
        parts: Tlp::Green,
        redaction: &ALL,
    };
    let outlook = Outlook {
        rules: &RULES,
        secret: &[7; 32],
        audience: b"acme-water",
        hidden: &|id| id.ends_with('5'),
    };
    let glance = [Glance {
        object,
        sight: Some(sight),
    }];
    let cuts = redact::cut(&glance, &outlook);
    for cut in &cuts {
        match cut {
            Cut::Shown { text, strikes } => {
                assert!(Object::parse(text).is_ok(), "sound");
                strikes.iter().for_each(|strike| drop(strike.to_string()));
            }
            Cut::Dropped(reason) => drop(reason.to_string()),
        }
    }
    assert_eq!(cuts, redact::cut(&glance, &outlook), "the same once more");
}

pub(super) fn pattern(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        match Pattern::parse(text) {
            Ok(pattern) => drop(pattern.comparisons().count()),
            Err(error) => assert!(error.offset <= text.len(), "an offset within"),
        }
    }
}

pub(super) fn observable(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(observable) = Observable::parse(text)
    {
        canonical(&observable);
        assert!(observable.networks_containing().count() <= 128, "within bounds");
        observable
            .parents()
            .for_each(|parent| assert!(!parent.as_str().is_empty()));
    }
}

/// The one spelling is read as itself.
fn canonical(observable: &Observable) {
    let again = Observable::of_kind(observable.kind(), observable.as_str());
    assert_eq!(again.as_ref(), Ok(observable), "its one spelling");
    drop(observable.host());
}

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().expect("a folder");
}

pub(super) fn settings(data: &[u8]) {
    FOLDER.with(|folder| {
        fs::write(folder.path().join(hanse_node::settings::FILE), data).expect("written");
        if let Err(error) = Settings::load(folder.path()) {
            drop(error.to_string());
        }
    });
}
