//! Counting what should be there, with doubles, several contents of one version, and refusals.

use super::*;

fn object(number: u32, name: &str) -> String {
    let id = format!("indicator--5f0f4a52-6a0e-4c36-9d0e-{number:012}");
    format!(
        r#"{{"type":"indicator","spec_version":"2.1","id":"{id}","created":"2026-03-02T08:00:00.000Z","modified":"2026-03-02T08:00:00.000Z","name":"{name}","pattern":"[ipv4-addr:value = '198.51.{}.{}']","pattern_type":"stix","valid_from":"2026-03-02T08:00:00.000Z"}}"#,
        number / 256,
        number % 256,
    )
}

#[test]
fn a_double_and_another_content_of_one_version_are_one_object() {
    let mut expected = Expected::default();
    expected.add(1, &object(1, "first"));
    expected.add(2, &object(1, "first"));
    expected.add(3, &object(1, "otherwise"));
    expected.add(4, &object(2, "second"));
    assert_eq!(expected.objects(), 2);
    let mut found = Found::default();
    assert!(found.see(&expected, &object(1, "otherwise")));
    assert!(found.see(&expected, &object(1, "first")));
    assert!(!found.see(&expected, &object(1, "tampered with")));
    assert_eq!(found.objects(), 1);
}

#[test]
fn an_object_is_expected_until_its_last_line_was_refused() {
    let mut expected = Expected::default();
    (1..=3).for_each(|line| expected.add(line, &object(1, "same")));
    expected.add(4, "{\"type\":\"indicator\"}");
    expected.withdraw(4);
    expected.withdraw(1);
    expected.withdraw(2);
    assert_eq!(expected.objects(), 1);
    assert_eq!(expected.sample().count(), 1);
    expected.withdraw(3);
    assert_eq!(expected.objects(), 0);
    assert_eq!(expected.sample().count(), 0);
    assert!(!Found::default().see(&expected, &object(1, "same")));
}

#[test]
fn the_sample_of_a_large_input_is_small_and_spread_over_all_of_it() {
    let mut expected = Expected::default();
    for number in 0..5_000 {
        expected.add(u64::from(number), &object(number, "many"));
    }
    let sample: Vec<&Wanted> = expected.sample().collect();
    assert!((SAMPLE / 2..=SAMPLE).contains(&sample.len()), "{}", sample.len());
    let last = |from: u32| {
        sample
            .iter()
            .any(|wanted| (from..from + 500).any(|n| wanted.is(&object(n, "many"))))
    };
    assert!((0..10).all(|tenth| last(tenth * 500)));
}
