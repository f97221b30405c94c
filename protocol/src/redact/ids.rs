//! Ids that can be guessed from what their object says, and what takes their place.

use std::borrow::Cow;

use crate::stix::type_of_id;

/// Length of a UUID in text (RFC 9562, section 4).
const UUID: usize = 36;

/// An id as ids are compared: UUIDs are written in either case.
pub(super) fn canonical(id: &str) -> Cow<'_, str> {
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        id.to_ascii_lowercase().into()
    } else {
        id.into()
    }
}

/// Whether an id may be made from its object's content: a UUID that is neither random nor of the time
/// (RFC 9562, section 4.2), whatever its variant says.
pub(super) fn is_guessable(id: &str) -> bool {
    let uuid = id.len().checked_sub(UUID).and_then(|start| id.get(start..));
    let version = uuid.and_then(|uuid| uuid.as_bytes().get(14));
    !matches!(version, Some(b'1' | b'2' | b'4' | b'6' | b'7'))
}

/// Whether a property may take part in making the id of an object of type `kind`: for observables the id
/// contributing properties of section 6 of STIX 2.1. Of other types producers choose themselves, so there
/// all count but those that nobody takes.
pub(super) fn contributes(kind: &str, property: &str) -> bool {
    let properties: &[&str] = match kind {
        "artifact" => &["hashes", "payload_bin", "url"],
        "autonomous-system" => &["number"],
        "directory" => &["path"],
        "domain-name" | "email-addr" | "ipv4-addr" | "ipv6-addr" | "mac-addr" | "url" => &["value"],
        "email-message" => &["from_ref", "subject", "body"],
        "file" => &["hashes", "name", "extensions", "parent_directory_ref"],
        "mutex" => &["name"],
        "network-traffic" => &[
            "start",
            "end",
            "src_ref",
            "dst_ref",
            "src_port",
            "dst_port",
            "protocols",
            "extensions",
        ],
        "software" => &["name", "cpe", "swid", "vendor", "version"],
        "user-account" => &["account_type", "user_id", "account_login"],
        "windows-registry-key" => &["key", "values"],
        "x509-certificate" => &["hashes", "serial_number"],
        _ => {
            const NEVER: [&str; 9] = [
                "created_by_ref",
                "description",
                "labels",
                "confidence",
                "external_references",
                "lang",
                "granular_markings",
                "object_marking_refs",
                "id",
            ];
            return !NEVER.contains(&property);
        }
    };
    properties.contains(&property)
}

/// What replacement ids and pseudonyms are made from.
pub(super) struct Mint {
    ids: [u8; 32],
    names: [u8; 32],
}

impl Mint {
    pub(super) fn new(secret: &[u8; 32], audience: &[u8]) -> Self {
        let key = |context: &str| {
            let mut hasher = blake3::Hasher::new_derive_key(context);
            hasher.update(secret).update(audience);
            *hasher.finalize().as_bytes()
        };
        Self {
            ids: key("hanse redaction ids v1"),
            names: key("hanse redaction pseudonyms v1"),
        }
    }

    /// What takes the place of an id: of the same type, in the form of a random UUID (RFC 9562, section
    /// 5.4), and the same whenever it is asked for.
    pub(super) fn id(&self, id: &str) -> String {
        let kind = type_of_id(id).unwrap_or_default();
        let hash = blake3::keyed_hash(&self.ids, canonical(id).as_bytes());
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = *hash.as_bytes();
        let bytes = [
            a,
            b,
            c,
            d,
            e,
            f,
            g & 0x0f | 0x40,
            h,
            i & 0x3f | 0x80,
            j,
            k,
            l,
            m,
            n,
            o,
            p,
        ];
        let digits = data_encoding::HEXLOWER.encode(&bytes);
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        format!(
            "{kind}--{}-{}-{}-{}-{}",
            part(0, 8),
            part(8, 12),
            part(12, 16),
            part(16, 20),
            part(20, 32)
        )
    }

    /// The name under which a victim appears.
    pub(super) fn name(&self, id: &str) -> String {
        let hash = blake3::keyed_hash(&self.names, canonical(id).as_bytes());
        let [a, b, ..] = *hash.as_bytes();
        format!("Organisation {a:02X}{b:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_the_place_of_an_id_hangs_on_secret_audience_and_id() {
        let id = "identity--115a7497-e13b-5ba9-af77-c26994dc0ce5";
        let all = [
            (Mint::new(&[1; 32], b"acme"), id.to_owned()),
            (Mint::new(&[2; 32], b"acme"), id.to_owned()),
            (Mint::new(&[1; 32], b"cert"), id.to_owned()),
            (Mint::new(&[1; 32], b"acme"), id.replace("ce5", "ce6")),
        ];
        let ids: std::collections::BTreeSet<String> = all.iter().map(|(mint, id)| mint.id(id)).collect();
        let names: std::collections::BTreeSet<String> = all.iter().map(|(mint, id)| mint.name(id)).collect();
        assert_eq!((ids.len(), names.len()), (4, 4));
        for new in &ids {
            assert_eq!(type_of_id(new), Some("identity"));
            assert!(!is_guessable(new) && is_guessable(id), "{new}");
        }
        let [(mint, _), ..] = &all;
        let upper = id.to_uppercase().replace("IDENTITY", "identity");
        assert_eq!((mint.id(id), mint.name(id)), (mint.id(&upper), mint.name(&upper)));
        assert!(
            !mint.id(id).contains(&mint.name(id)[13..].to_lowercase()),
            "one does not tell of the other"
        );
    }
}
