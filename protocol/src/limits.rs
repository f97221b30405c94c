//! Every bound on what travels, on one page, each with its reason. A peer that exceeds one is
//! refused; a local caller is told which one and by how much.

use std::time::Duration;

/// Largest signed header, bytes. A header with every field at its longest stays under 400.
pub const HEADER: usize = 1_024;

/// Largest body as it travels, bytes: big enough for a report of a megabyte, small enough to be
/// held whole while its hash is checked.
pub const BODY: usize = 1 << 20;

/// Largest content of a body before compression, bytes. Declared in the body and checked before a
/// byte is decompressed, so that a small body cannot demand a large buffer.
pub const CONTENT: usize = 4 << 20;

/// Largest single STIX object, bytes: the largest object of ATT&CK for ICS is 216 KB.
pub const OBJECT: usize = 512 << 10;

/// Most STIX objects in one record.
pub const OBJECTS: usize = 1_000;

/// Most JSON values of one record's objects together, arrays and objects counted. A body of a few
/// hundred bytes can unpack to megabytes of `[[0],[0],…`, and each value costs memory and time; the
/// largest object seen in practice has 5,486.
pub const JSON_VALUES: usize = 65_536;

/// Deepest nesting of JSON arrays and objects. The deepest object seen in practice has 11 levels.
pub const JSON_DEPTH: usize = 48;

/// Longest STIX pattern, bytes.
pub const PATTERN: usize = 64 << 10;

/// Deepest nesting of parentheses and brackets in a STIX pattern.
pub const PATTERN_DEPTH: usize = 32;

/// Most observables indexed from one STIX object; what lies beyond is kept but not searchable.
pub const OBSERVABLES: usize = 1_024;

/// Longest text that is read as an observable, bytes: a URL of 4 KiB is kept, a page of text is not.
pub const OBSERVABLE: usize = 4_096;

/// Most stanzas of a sealed body, throw-away ones counted: a power of two above the members.
pub const STANZAS: usize = 2_048;

/// How far ahead of our clock a record may be dated before it is deferred.
pub const SKEW: Duration = Duration::from_secs(5 * 60);

/// How far back from first sight by gossip a record may be dated. Healing is exempt.
pub const GOSSIP_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Largest charter, signatures included, bytes: a thousand members at about 300 bytes.
pub const CHARTER: usize = 512 << 10;

/// Longest charter chain that one message may carry, bytes.
pub const CHARTER_CHAIN: usize = 4 << 20;

/// Most siblings of the charter in force that are kept: one is enough for a fork to show, and who
/// can sign one can sign any number.
pub const SIBLINGS: usize = 8;

/// Most bytes of those siblings together: one of the largest fits. They travel with the charters in
/// force, and whoever made the one before may no longer be trusted.
pub const SIBLING_BYTES: usize = CHARTER;

/// Largest file in which a proposal is passed around, bytes of its content.
pub const PROPOSAL: usize = CHARTER + 1_024;

/// Most members of a community.
pub const MEMBERS: usize = 1_000;

/// Most keys of one member, ended ones counted.
pub const MEMBER_KEYS: usize = 16;

/// Longest public sealing key of a suite to come, bytes: X-Wing's, the next at hand, has 1,216.
pub const SUITE_KEY: usize = 2_048;

/// Most lanes (signing nodes) of one member, ended ones counted.
pub const LANES: usize = 64;

/// Most runs of records that one closing names: two for each lane a member may have, at 60 bytes each.
pub const CLOSING_RUNS: usize = 128;

/// Most addresses of one node.
pub const ADDRESSES: usize = 8;

/// Longest address of a node, bytes, in libp2p's multiaddress text form.
pub const ADDRESS: usize = 256;

/// Longest display name, sector or other free text of a charter, bytes.
pub const NAME: usize = 128;

/// Longest handle, characters.
pub const HANDLE: usize = 40;

/// Largest gossip frame, bytes. Gossipsub is set to carry twice this, so that no frame comes near
/// the limit at which a link falls silent.
pub const FRAME: usize = 128 << 10;

/// Size at which a sender closes a frame and starts the next, bytes.
pub const FRAME_FLUSH: usize = 32 << 10;

/// Most records in one gossip frame.
pub const FRAME_RECORDS: usize = 256;

/// Largest body that rides inline in a gossip frame, bytes; a larger one is pulled.
pub const INLINE_BODY: usize = 64 << 10;

/// Longest piece of someone's input that an error message repeats, characters.
pub const ECHO: usize = 80;

/// Offending input as an error message may show it: cut to [`ECHO`] characters, control characters
/// escaped so that a terminal or log line cannot be driven by it.
pub(crate) fn echo(text: &str) -> String {
    let mut shown: String = text.chars().take(ECHO).flat_map(char::escape_debug).collect();
    if text.chars().nth(ECHO).is_some() {
        shown.push('…');
    }
    shown
}
