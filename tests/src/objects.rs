//! STIX objects for stories: spelt oddly on purpose, so that a node that re-writes them is found out.

use std::sync::atomic::{AtomicU32, Ordering};

use hanse_protocol::tlp::Tlp;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A fresh STIX id.
pub fn id(kind: &str) -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{kind}--{:08x}-5707-4000-8000-{number:012x}", std::process::id())
}

/// An indicator with a STIX pattern and perhaps a marking.
pub fn indicator(pattern: &str, marking: Option<Tlp>) -> String {
    indicator_of(&id("indicator"), pattern, marking)
}

/// An indicator of this id.
pub fn indicator_of(id: &str, pattern: &str, marking: Option<Tlp>) -> String {
    let marking = marking.map_or(String::new(), |tlp| {
        format!(r#""object_marking_refs" : ["{}"],"#, tlp.marking())
    });
    let pattern = serde_json::to_string(pattern).expect("text is JSON");
    format!(
        r#"{{"x_ticket":1.50e1, "type":"indicator","spec_version":"2.1","id":"{id}",{marking}
  "created":"2026-11-20T08:00:00.000Z","modified":"2026-11-20T08:00:00Z","name":"W\u00e4sser","pattern":{pattern} , "pattern_type":"stix","valid_from":"2026-11-20T08:00:00Z","x_odd":[1,1.0,-0]}}"#
    )
}

/// An indicator of an IPv4 address.
pub fn address(address: &str, marking: Option<Tlp>) -> String {
    indicator(&format!("[ipv4-addr:value = '{address}']"), marking)
}

/// An address of a documentation network (RFC 5737) or, beyond those, of the benchmarking one
/// (RFC 2544), by number.
pub fn nth_address(number: u32) -> String {
    format!(
        "198.{}.{}.{}",
        18 + (number >> 16 & 1),
        number >> 8 & 255,
        number & 255
    )
}
