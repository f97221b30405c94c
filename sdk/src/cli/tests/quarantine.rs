//! What is in quarantine: listed, shown without harm to the terminal, decided of.

use super::*;

const ID: &str = "abababababababababababababababababababababababababababababababab";

fn waits() -> String {
    let record = format!(
        r#"{{"id":"{ID}","position":4,"author":"harbour-it","lane":0,"epoch":1,"seq":2,"charter":1,
        "created":"2026-01-01T00:00:00.000Z","expires":"2026-02-01T00:00:00.000Z","kind":"objects",
        "body_bytes":300,"state":"quarantined","objects":[{{"tlp":"green","object":{{"name":"x"}}}}]}}"#
    );
    format!(
        r#"{{"record":{record},"since":"2026-01-01T00:00:01.000Z",
        "then":{{"verdict":"quarantine","policies":["no-flood"],"reason":"too \u202e much"}},
        "now":{{"verdict":"keep"}}}}"#
    )
}

#[test]
fn what_waits_is_listed_shown_and_decided_of() {
    let fake = Fake::start(|asked| match asked.line.as_str() {
        "GET /v1/quarantine" => (200, format!(r#"{{"records":[{}]}}"#, waits())),
        "GET /v1/quarantine?limit=1" => (200, r#"{"records":[]}"#.to_owned()),
        line if line.starts_with("GET ") => (200, waits()),
        _ => (200, format!(r#"{{"id":"{ID}","position":9}}"#)),
    });
    let desk = Desk::new(&fake.api);
    let listed = desk.run(&["quarantine", "list"]);
    assert_eq!(listed.exit, Exit::Done as u8);
    let line = listed.out.lines().nth(1).unwrap();
    for word in ["harbour-it", "no-flood", "keep", ID] {
        assert!(line.contains(word), "{line}");
    }
    let none = desk.run(&["quarantine", "list", "--limit", "1"]);
    assert_eq!((none.exit, none.out.as_str()), (Exit::Nothing as u8, ""));
    let shown = desk.run(&["quarantine", "show", ID]);
    assert!(shown.out.contains("too \\u{202e} much"), "{}", shown.out);
    assert!(shown.out.contains(r#"{"name":"x"}"#), "{}", shown.out);
    let json = desk.run(&["quarantine", "show", ID, "--json"]).json();
    assert_eq!(json["then"]["policies"][0], "no-flood");
    for (deed, said) in [("release", "released"), ("drop", "dropped")] {
        let done = desk.run(&["quarantine", deed, ID]);
        assert_eq!(done.out, format!("{said} {ID}\n"));
    }
    let changes: Vec<Asked> = fake.asked().into_iter().filter(is_change).collect();
    let lines: Vec<String> = changes.into_iter().map(|asked| asked.line).collect();
    let wanted = ["release", "drop"].map(|deed| format!("POST /v1/quarantine/{ID}/{deed}"));
    assert_eq!(lines, wanted);
    assert_eq!(desk.run(&["quarantine", "release", "x"]).exit, Exit::Usage as u8);
}
