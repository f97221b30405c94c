//! Sharing, keeping and forwarding.

use super::*;

#[test]
fn without_a_folder_marking_decides_and_red_goes_to_whoever_is_named() {
    let policies = Policies::built_in();
    let roster = policies.roster(&charter(), &handle("city-hall"));
    assert_eq!(roster.len(), 1, "the built-in policies cannot tell members apart");
    assert_eq!(roster.members(0).len(), 4, "all but ourselves");
    for tlp in Tlp::ALL {
        let decision = &policies.share(&roster, &item("indicator", tlp), noon())[0];
        assert_eq!(decision.allowed, tlp != Tlp::Red, "{tlp}");
    }
    let red = item("indicator", Tlp::Red);
    let roster = roster.naming(&[handle("north-cert")].into());
    let decisions = policies.share(&roster, &red, noon());
    let cert = roster.class_of(&handle("north-cert")).unwrap();
    let others = roster.class_of(&handle("acme-vendor")).unwrap();
    assert_eq!((decisions.len(), roster.members(cert).len()), (2, 1));
    assert!(decisions[cert].allowed && !decisions[others].allowed);
    assert_eq!(ids(&decisions[cert]), ["named-readers"]);
    assert!(
        !decisions[cert].names_member,
        "the publisher named it, no policy does"
    );
    let future = policies.future(&item("indicator", Tlp::Green), noon()).unwrap();
    assert_eq!(ids(&future), ["community"]);
    assert_eq!(policies.future(&red, noon()), None);
}

#[test]
fn obligations_of_all_deciding_policies_add_up_and_the_strictest_wins() {
    let policies = loaded(vec![
        PolicyFile::new("redaction.toml", "[patterns]\nphone = '[0-9]+'"),
        PolicyFile::new(
            "a.cedar",
            r#"
            @id("one") @delay("2h") @backfill("30d") @redact("description") @note("call first")
            permit (principal, action == Action::"share", resource);
            @id("two") @delay("1h") @backfill("7d") @redact_text("phone") @hide("victims, pseudonyms") @receipt("")
            permit (principal, action == Action::"share", resource) when { principal.sector == "health" };
            @id("three") @delay("30d") @hide("internal")
            permit (principal, action == Action::"share", resource) when { principal.sector == "energy" };
            "#,
        ),
    ]);
    let decision = share(&policies, "east-hospital", &item("indicator", Tlp::Green));
    assert_eq!(ids(&decision), ["one", "two"]);
    assert_eq!(decision.notes, ["call first".to_owned()].into());
    let Obligations {
        redaction,
        delay,
        receipt,
        backfill,
    } = decision.obligations;
    assert_eq!(delay, Duration::from_secs(7_200), "the longer");
    assert_eq!(backfill, Some(Duration::from_secs(7 * 24 * 3600)), "the shorter");
    assert_eq!(redaction.properties, ["description".to_owned()].into());
    assert_eq!(redaction.patterns, ["phone".to_owned()].into());
    assert!(receipt && redaction.victims && redaction.pseudonyms && !redaction.internal);
}

#[test]
fn a_policy_that_fails_makes_it_a_no() {
    // Cedar leaves a forbid out that fails, and would say yes.
    let policies = loaded(cedar(
        r#"
        @id("all") permit (principal, action == Action::"share", resource);
        @id("sum") forbid (principal, action == Action::"share", resource)
        when { resource.sightings + 9223372036854775807 < 0 };
        "#,
    ));
    assert!(share(&policies, "north-cert", &item("indicator", Tlp::Clear)).allowed);
    let mut seen = item("indicator", Tlp::Clear);
    seen.sightings = 1;
    let decision = share(&policies, "north-cert", &seen);
    assert!(!decision.allowed && decision.error.is_some());
    assert_eq!(decision.obligations, Obligations::default());
    assert_eq!(policies.future(&seen, noon()), None);
}

#[test]
fn a_policy_names_a_member_only_if_it_would_not_hold_for_another_like_it() {
    let policies = loaded(cedar(
        r#"
        @id("cert") permit (principal == Member::"north-cert", action == Action::"share", resource);
        @id("list") permit (principal, action == Action::"share", resource)
        when { [Member::"acme-vendor"].contains(principal) };
        @id("health") permit (principal, action == Action::"share", resource)
        when { principal.sector == "health" || principal == Member::"acme-vendor" };
        @id("no-health") forbid (principal, action == Action::"share", resource)
        when { principal.sector == "health" } unless { principal == Member::"east-hospital" };
        "#,
    ));
    let red = item("indicator", Tlp::Red);
    assert!(share(&policies, "north-cert", &red).names_member);
    let vendor = share(&policies, "acme-vendor", &red);
    assert_eq!(ids(&vendor), ["health", "list"]);
    assert!(vendor.names_member);
    let hospital = share(&policies, "east-hospital", &red);
    assert!(hospital.allowed);
    assert!(!hospital.names_member, "to be let off a ban is not to be named");
    assert!(!share(&policies, "harbour-water", &red).allowed);
}

#[test]
fn circles_terms_and_the_clock_decide() {
    let files = vec![
        PolicyFile::new(
            "members.toml",
            r#"
            [members.acme-vendor]
            trust = 80
            contract_from = 2026-01-01
            contract_until = 2026-06-19
            tags = ["scada"]
            [circles]
            utilities = ["harbour-water", "new-power"]
            nobody = []
            "#,
        ),
        PolicyFile::new(
            "a.cedar",
            r#"
            @id("utilities") permit (principal in Circle::"utilities", action == Action::"share", resource);
            @id("nobody") permit (principal in Circle::"nobody", action == Action::"share", resource);
            @id("contract") permit (principal, action == Action::"share", resource)
            when {
              principal has contract_from && principal has contract_until &&
              principal.contract_from <= context.now && context.now < principal.contract_until &&
              principal.trust > 70 && principal.tags.contains("scada")
            };
            "#,
        ),
    ];
    let policies = loaded(files);
    let green = item("indicator", Tlp::Green);
    assert_eq!(ids(&share(&policies, "harbour-water", &green)), ["utilities"]);
    assert_eq!(
        ids(&share(&policies, "acme-vendor", &green)),
        ["contract"],
        "on its last day"
    );
    assert!(
        !share(&policies, "north-cert", &green).allowed,
        "an empty circle is nobody"
    );
    let roster = policies.roster(&charter(), &handle("city-hall"));
    let vendor = roster.class_of(&handle("acme-vendor")).unwrap();
    let later = policies.share(&roster, &green, at("2026-06-20T00:00:00Z"));
    assert!(
        !later[vendor].allowed,
        "the cache knows the minute, since a policy reads it"
    );
    assert_eq!(
        policies.future(&green, noon()),
        None,
        "who is to come may be in no circle"
    );
}

#[test]
fn answers_that_are_held_are_those_that_would_be_given() {
    let policies = loaded(cedar(
        r#"
        @id("named") permit (principal, action == Action::"share", resource) when { context.named };
        @id("dutch") permit (principal, action == Action::"share", resource) when { principal.country == "NL" };
        "#,
    ));
    let charter = charter();
    let (green, all) = (
        item("indicator", Tlp::Green),
        policies.roster(&charter, &handle("city-hall")),
    );
    let named = all.naming(&[handle("east-hospital")].into());
    let fresh = |roster: &Roster| {
        let other = Policies::from_files(policies.files().to_vec(), None).unwrap();
        other.share(roster, &green, noon())
    };
    for roster in [&all, &named, &all, &named] {
        assert_eq!(policies.share(roster, &green, noon()), fresh(roster));
    }
    assert_eq!((all.len(), named.len()), (2, 3), "the hospital is split off");
    let other = Policies::built_in();
    assert!(
        other
            .share(&all, &green, noon())
            .iter()
            .all(|decision| !decision.allowed && decision.error.is_some())
    );
}

#[test]
fn what_arrives_is_kept_quarantined_or_dropped() {
    let policies = loaded(cedar(
        r#"
        @id("members") @receipt("")
        permit (principal, action == Action::"accept", resource) when { principal.kind != "" };
        @id("vendors") @quarantine("vendors are looked at first")
        permit (principal, action == Action::"accept", resource) when { principal.kind == "company" };
        @id("flood") forbid (principal, action == Action::"accept", resource) when { context.rate > 1000 };
        @id("large") @quarantine("too large")
        forbid (principal, action == Action::"accept", resource) when { context.size > 500000 };
        "#,
    ));
    let green = item("indicator", Tlp::Green);
    let ask = |author: &str, size, rate| {
        let arriving = Arriving {
            size,
            rate,
            sealed: false,
        };
        let answer = policies.accept(&charter(), &handle(author), &green, arriving, noon());
        (answer.verdict, answer.reason, answer.receipt)
    };
    let because = |reason: &str| Some(reason.to_owned());
    assert_eq!(ask("north-cert", 1, 1), (Verdict::Keep, None, true));
    assert_eq!(
        ask("acme-vendor", 1, 1),
        (Verdict::Quarantine, because("vendors are looked at first"), true)
    );
    assert_eq!(
        ask("somebody-else", 1, 1),
        (
            Verdict::Quarantine,
            because("no policy says that it may be kept"),
            false
        )
    );
    assert_eq!(
        ask("north-cert", 600_000, 1),
        (Verdict::Quarantine, because("too large"), false)
    );
    assert_eq!(
        ask("north-cert", 600_000, 2_000),
        (Verdict::Drop, because("too large"), false),
        "of two that forbid, the stricter"
    );
    assert_eq!(
        ask("north-cert", 1, 2_000),
        (Verdict::Drop, because("a policy forbids it"), false)
    );
    let built_in = Policies::built_in();
    let arriving = Arriving {
        size: 1,
        rate: 1,
        sealed: true,
    };
    let kept = built_in.accept(&charter(), &handle("somebody-else"), &green, arriving, noon());
    assert_eq!(
        kept.verdict,
        Verdict::Keep,
        "a set that says nothing of keeping keeps"
    );
}

#[test]
fn nothing_is_forwarded_unless_a_policy_says_so() {
    let policies = loaded(vec![
        PolicyFile::new("members.toml", "[circles]\nfriends = ['east-hospital']"),
        PolicyFile::new(
            "a.cedar",
            r#"
            @id("share") permit (principal in Circle::"friends", action == Action::"share", resource);
            @id("friends") permit (principal in Circle::"friends", action == Action::"forward", resource);
            @id("hospitals")
            permit (principal, action == Action::"forward", resource)
            when { context.to == "health" && principal.kind == "hospital" && resource in TLP::"green" };
            @id("far") permit (principal == Member::"far-away", action == Action::"forward", resource);
            "#,
        ),
    ]);
    let there = charter_of(vec![
        member("east-hospital", MemberKind::City, "", "SE"),
        member("far-away", MemberKind::City, "", "SE"),
        member("south-hospital", MemberKind::Hospital, "", "SE"),
    ]);
    let roster = policies.foreign_roster(&there, &handle("city-hall"));
    let forwarding = Forwarding {
        from: "harbour".to_owned(),
        to: "health".to_owned(),
        author: handle("north-cert"),
    };
    let decisions = policies.forward(&roster, &item("indicator", Tlp::Green), &forwarding, noon());
    let of = |name: &str| &decisions[roster.class_of(&handle(name)).unwrap()];
    assert!(
        !of("east-hospital").allowed,
        "our circle means our member, not one that bears its handle there"
    );
    assert_eq!(ids(of("south-hospital")), ["hospitals"]);
    assert!(of("far-away").allowed && of("far-away").names_member);
    let built_in = Policies::built_in();
    let roster = built_in.foreign_roster(&there, &handle("city-hall"));
    let decisions = built_in.forward(&roster, &item("indicator", Tlp::Clear), &forwarding, noon());
    assert!(decisions.iter().all(|decision| !decision.allowed));
}
