//! The commands of communities whose stewards decide together.

use hanse_protocol::charter::proposal::Proposal;
use hanse_protocol::local;

use super::*;

#[test]
fn a_proposal_is_shown_before_it_is_signed_and_goes_on_or_is_in_force() {
    let (file, _) = invite();
    let (_, chain) = Invite::read(&file).unwrap();
    let (_, signing, _) = acme();
    let mut next = chain.charter().clone();
    next.version = 2;
    next.parents = vec![chain.newest().hash()];
    let proposal = Proposal {
        community: *chain.community(),
        charter: SignedCharter::issue(next).unwrap(),
    };
    let fingerprint = proposal.fingerprint().to_string();
    let view = move |valid: usize, recovery: bool| {
        format!(
            r#"{{"version":2,"hash":"{}","fingerprint":"x","issued":"2026-01-01T00:00:00Z",
            "changes":["admits st-mary\\u001b[2J"],"endorsed":["acme"],"recovery":{recovery},"valid":{valid},"needed":2}}"#,
            "ab".repeat(32)
        )
    };
    let fake = Fake::start(move |asked| {
        let in_force = asked.line.ends_with("submit");
        let view = view(1 + usize::from(in_force), in_force);
        match asked.line.ends_with("review") {
            true => (200, view),
            false => (
                200,
                format!(r#"{{"proposal":{view},"file":"THE FILE","in_force":{in_force}}}"#),
            ),
        }
    });
    let mut desk = Desk::new(&fake.api);
    let path = desk.file("st-mary.proposal", &proposal.write());
    let nobody = desk.run(&["community", "endorse", &path]);
    assert_eq!(nobody.exit, 2);
    assert!(
        nobody.err.contains("admits st-mary") && !nobody.err.contains('\u{1b}'),
        "{}",
        nobody.err
    );
    let wrong = desk.run(&[
        "community",
        "endorse",
        &path,
        "--fingerprint",
        "AAAA-AAAA-AAAA-AAAA-AAAA",
    ]);
    assert_eq!(wrong.exit, 4);
    assert!(
        fake.asked().iter().all(|asked| asked.line.ends_with("review")),
        "nothing was signed"
    );

    let out = desk.path("on.proposal");
    let signed = desk.run(&[
        "community",
        "endorse",
        &path,
        "--fingerprint",
        &fingerprint,
        "--out",
        &out,
    ]);
    assert_eq!(signed.exit, 0, "{}", signed.err);
    assert!(signed.out.contains("1 more must sign"), "{}", signed.out);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "THE FILE");
    desk.typed = Some("yes\n");
    assert_eq!(desk.run(&["community", "endorse", &path]).exit, 0);

    // The recovery key signs here and does not leave.
    let key = data_encoding::HEXLOWER.encode(signing.seed().as_slice());
    let key_file = desk.file("recovery.key", &format!("{key}\n"));
    let recovered = desk.run(&[
        "community",
        "recover",
        &path,
        "--key",
        &key_file,
        "--fingerprint",
        &fingerprint,
    ]);
    assert_eq!(recovered.exit, 0, "{}", recovered.err);
    assert!(
        recovered.out.contains("charter 2 is in force"),
        "{}",
        recovered.out
    );
    let asked = fake.asked();
    assert!(asked.iter().all(|asked| !asked.body.contains(&key)));
    let sent: local::ProposalFile = serde_json::from_str(&asked.last().unwrap().body).unwrap();
    assert_ne!(sent.file, proposal.write());
}

#[test]
fn where_several_stewards_must_sign_admitting_and_expelling_propose() {
    let fake = Fake::start(|asked| match asked.line.as_str() {
        "POST /v1/proposals" => {
            let view = format!(
                r#"{{"version":3,"hash":"{}","fingerprint":"x","issued":"2026-01-01T00:00:00Z","changes":[],
                "endorsed":["port-city"],"recovery":false,"valid":1,"needed":2}}"#,
                "ab".repeat(32)
            );
            (
                200,
                format!(r#"{{"proposal":{view},"file":"THE FILE","in_force":false}}"#),
            )
        }
        _ => problem("endorsements", 409),
    });
    let desk = Desk::new(&fake.api);
    let (file, fingerprint) = request();
    let path = desk.file("acme.request", &file);
    let admitted = desk.run(&["community", "admit", &path, "--fingerprint", &fingerprint]);
    assert_eq!(
        (admitted.exit, admitted.out.as_str()),
        (0, "THE FILE"),
        "{}",
        admitted.err
    );
    let expelled = desk.run(&["community", "expel", "acme", "--yes", "--json"]);
    assert_eq!(expelled.json()["file"], "THE FILE");
    let asked: Vec<_> = fake.asked().into_iter().filter(is_change).collect();
    assert!(asked[1].body.contains(r#""what":"admit""#) && asked[3].body.contains(r#""what":"expel""#));
    let no = desk.run(&["community", "close-key", "acme", "6b0f2c9d11a3e7f4"]);
    assert_eq!(no.exit, 2, "nobody is there to say yes");
}
