//! Who plays in a league: cities and companies that do not exist.

use hanse_protocol::charter::member::{MemberKind, Profile};

/// A role: handle, name, kind, sector.
type Role = (&'static str, &'static str, MemberKind, &'static str);

/// Those who are always there, in this order; the first founds the community.
const NAMED: [Role; 6] = [
    ("port-city", "City of Port City", MemberKind::City, "government"),
    ("acme-water", "ACME Water Works", MemberKind::Utility, "water"),
    ("st-mary", "St Mary Hospital", MemberKind::Hospital, "health"),
    ("harbor-energy", "Harbor Energy", MemberKind::Company, "energy"),
    ("metro-rail", "Metro Rail", MemberKind::Utility, "transport"),
    ("region-cert", "CERT of the Region", MemberKind::Cert, "security"),
];

const PLACES: [&str; 12] = [
    "elmford",
    "greyhaven",
    "millbrook",
    "stonebridge",
    "westmoor",
    "larkfield",
    "ashby",
    "northquay",
    "rosedale",
    "kingsmere",
    "oakpoint",
    "saltmarsh",
];

/// What each place has.
const TRADES: [Role; 5] = [
    ("city", "City", MemberKind::City, "government"),
    ("water", "Water", MemberKind::Utility, "water"),
    ("clinic", "Clinic", MemberKind::Hospital, "health"),
    ("power", "Power", MemberKind::Company, "energy"),
    ("transit", "Transit", MemberKind::Utility, "transport"),
];

/// The profile of the member with this number, from 0. Sixty-six are told apart by name and place;
/// beyond them the handle bears the number.
pub fn profile(number: usize) -> Profile {
    let (handle, name, kind, sector) = match NAMED.get(number) {
        Some((handle, name, kind, sector)) => ((*handle).to_owned(), (*name).to_owned(), *kind, *sector),
        None => generated(number - NAMED.len()),
    };
    Profile {
        #[expect(
            clippy::expect_used,
            reason = "every handle of the lists, joined as above, is one: tested"
        )]
        handle: handle.parse().expect("a handle of this file"),
        name,
        kind,
        sector: sector.to_owned(),
        country: "NL".to_owned(),
    }
}

fn generated(number: usize) -> (String, String, MemberKind, &'static str) {
    let place = PLACES
        .get(number / TRADES.len() % PLACES.len())
        .copied()
        .unwrap_or_default();
    let trade = TRADES.get(number % TRADES.len()).copied();
    let (suffix, trade, kind, sector) = trade.unwrap_or(("city", "City", MemberKind::City, "government"));
    let round = number / (PLACES.len() * TRADES.len());
    let round = if round == 0 {
        String::new()
    } else {
        format!("-{}", round + 1)
    };
    let mut name = place.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    (
        format!("{place}-{suffix}{round}"),
        format!("{name} {trade}{round}"),
        kind,
        sector,
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_member_of_the_largest_league_has_a_handle_of_its_own() {
        let handles: BTreeSet<String> = (0..200)
            .map(|number| profile(number).handle.to_string())
            .collect();
        assert_eq!(handles.len(), 200);
        assert!((0..200).all(|number| profile(number).check_form().is_ok()));
    }
}
