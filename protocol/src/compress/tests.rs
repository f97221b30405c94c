use proptest::prelude::*;

use super::*;
use crate::content::Content;
use crate::tlp::Tlp;

fn sample() -> Vec<u8> {
    let object = r#"{"type":"indicator","spec_version":"2.1","id":"indicator--115a7497-e13b-5ba9-af77-c26994dc0ce5","created_by_ref":"identity--432ff286-31ae-5378-af23-fcc1abf6356c","created":"2026-06-19T01:16:32.866Z","modified":"2026-06-19T01:16:32.866Z","name":"domain evil.example","indicator_types":["malicious-activity"],"pattern":"[domain-name:value = 'evil.example']","pattern_type":"stix","valid_from":"2026-06-19T01:16:32.866Z","object_marking_refs":["marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"]}"#;
    Content::write(Tlp::Green, Tlp::Clear, &[object])
}

#[test]
fn the_dictionary_is_frozen() {
    assert_eq!(STIX_1_BYTES.len(), 64 << 10);
    assert_eq!(
        blake3::hash(STIX_1_BYTES).to_hex().as_str(),
        "e094fea6c3fcaf22f184a839e41f1991f7a96b5450eac3fbd40851bef95c22f5"
    );
}

#[test]
fn one_object_shrinks_to_a_third_and_travels_as_an_array_of_three() {
    let content = sample();
    let packed = pack(&content).unwrap();
    assert!(packed.bytes.len() * 3 < content.len(), "{}", packed.bytes.len());
    let cbor = minicbor::to_vec(&packed).unwrap();
    assert_eq!(cbor[0], 0x83);
    let back: Packed = minicbor::decode(&cbor).unwrap();
    assert_eq!(back, packed);
    assert_eq!(back.unpack().unwrap(), content);
}

#[test]
fn content_of_another_dictionary_waits_and_without_one_is_read() {
    let content = sample();
    let bytes = zstd::bulk::compress(&content, LEVEL).unwrap();
    let raw_len = u32::try_from(content.len()).unwrap();
    let plain = Packed {
        dictionary: NONE,
        raw_len,
        bytes,
    };
    assert_eq!(plain.unpack().unwrap(), content);
    let later = Packed {
        dictionary: 2,
        ..plain.clone()
    };
    assert_eq!(later.unpack(), Err(CompressError::UnknownDictionary(2)));
    let mixed = Packed {
        dictionary: NONE,
        ..pack(&content).unwrap()
    };
    assert_ne!(mixed.unpack().ok(), Some(content));
}

#[test]
fn whatever_is_not_one_honest_frame_is_refused() {
    let content = sample();
    let packed = pack(&content).unwrap();
    let declared = packed.raw_len + 1;
    let longer = Packed {
        raw_len: declared,
        ..packed.clone()
    };
    assert_eq!(longer.unpack(), Err(CompressError::Length { declared }));
    let huge = Packed {
        raw_len: u32::MAX,
        ..packed.clone()
    };
    assert!(matches!(huge.unpack(), Err(CompressError::TooLarge { .. })));

    let with = |bytes: Vec<u8>| {
        Packed {
            bytes,
            ..packed.clone()
        }
        .unpack()
    };
    let twice = [packed.bytes.as_slice(), &packed.bytes].concat();
    assert_eq!(with(twice), Err(CompressError::NotOneFrame));
    let trailing = [packed.bytes.as_slice(), &[0]].concat();
    assert_eq!(with(trailing), Err(CompressError::NotOneFrame));
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0], packed.bytes.as_slice()].concat();
    assert_eq!(with(skippable), Err(CompressError::NotOneFrame));
    assert_eq!(with(Vec::new()), Err(CompressError::NotOneFrame));
    assert_eq!(
        with(packed.bytes[..packed.bytes.len() - 1].to_vec()),
        Err(CompressError::NotOneFrame)
    );

    let large = vec![0; limits::CONTENT + 1];
    assert!(matches!(pack(&large), Err(CompressError::TooLarge { .. })));
    assert_eq!(pack(&large[1..]).unwrap().unpack().unwrap(), large[1..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_is_packed_is_unpacked(content in prop::collection::vec(any::<u8>(), 0..4_000)) {
        prop_assert_eq!(pack(&content).unwrap().unpack().unwrap(), content);
    }

    #[test]
    fn a_dented_frame_is_no_panic_and_keeps_to_its_length(at: prop::sample::Index, by: u8, raw_len in 0..2_000u32) {
        let mut packed = pack(&sample()).unwrap();
        let at = at.index(packed.bytes.len());
        packed.bytes[at] ^= by;
        let _ = packed.unpack();
        packed.raw_len = raw_len;
        if let Ok(content) = packed.unpack() {
            prop_assert_eq!(content.len(), raw_len as usize);
        }
    }
}
