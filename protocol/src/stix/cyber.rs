//! Cyber-observable objects (STIX 2.1, section 6): facts seen on hosts and networks.

use super::Shape::{Bool, List, Number, Text};
use super::kind::{Class, Kind};

const fn kind(name: &'static str, required: &'static [(&'static str, super::Shape)]) -> Kind {
    Kind::new(Class::Fact, name, required)
}

/// Required properties of every observable object, in the order of the norm.
pub(super) const KINDS: &[Kind] = &[
    kind("artifact", &[]).any_of(&["payload_bin", "url", "hashes"]),
    kind("autonomous-system", &[("number", Number)]),
    kind("directory", &[("path", Text)]),
    kind("domain-name", &[("value", Text)]),
    kind("email-addr", &[("value", Text)]),
    kind("email-message", &[("is_multipart", Bool)]),
    kind("file", &[]).any_of(&["hashes", "name"]),
    kind("ipv4-addr", &[("value", Text)]),
    kind("ipv6-addr", &[("value", Text)]),
    kind("mac-addr", &[("value", Text)]),
    kind("mutex", &[("name", Text)]),
    kind("network-traffic", &[("protocols", List)]).any_of(&["src_ref", "dst_ref"]),
    kind("process", &[]),
    kind("software", &[("name", Text)]),
    kind("url", &[("value", Text)]),
    kind("user-account", &[]),
    kind("windows-registry-key", &[]),
    kind("x509-certificate", &[]),
];
