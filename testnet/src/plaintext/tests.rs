//! Hiding a text in every way the search claims to see through.

use std::io::Write;

use proptest::prelude::*;

use super::*;

const SECRET: &str = "valve 7 of the north basin";

fn search() -> Search {
    Search::new(&["too few", SECRET]).unwrap()
}

fn found(bytes: &[u8]) -> Vec<(usize, Form, bool)> {
    let leaks = search().in_bytes("here", bytes);
    leaks
        .into_iter()
        .map(|leak| (leak.text, leak.form, leak.compressed))
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that look like nothing, from a fixed start.
fn noise(length: usize) -> Vec<u8> {
    let mut noise = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise
}

fn amid_noise(bytes: &[u8]) -> Vec<u8> {
    [noise(4_097).as_slice(), bytes, noise(333).as_slice()].concat()
}

#[test]
fn nothing_is_found_in_noise_or_in_the_text_of_another() {
    assert_eq!(found(&noise(1 << 20)), []);
    assert_eq!(found(b"valve 8 of the north basin, too few"), []);
}

#[test]
fn a_text_is_found_raw_in_hex_and_in_utf16() {
    let utf16: Vec<u8> = SECRET.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(found(&amid_noise(SECRET.as_bytes())), [(1, Form::Raw, false)]);
    assert_eq!(
        found(&amid_noise(HEXLOWER.encode(SECRET.as_bytes()).as_bytes())),
        [(1, Form::Hex, false)]
    );
    assert_eq!(
        found(&amid_noise(HEXUPPER.encode(SECRET.as_bytes()).as_bytes())),
        [(1, Form::Hex, false)]
    );
    assert_eq!(found(&amid_noise(&utf16)), [(1, Form::Utf16, false)]);
}

#[test]
fn a_text_is_found_inside_what_decompresses() {
    let line = format!("{{\"description\":\"{SECRET}\"}}");
    let packed = hanse_protocol::compress::pack(line.as_bytes()).unwrap();
    assert_eq!(packed.dictionary, 1);
    let long: Vec<u8> = [line.as_bytes(), noise(1 << 17).as_slice()].concat();
    for compressed in [
        gzip(line.as_bytes()),
        zlib(line.as_bytes()),
        zstd::encode_all(line.as_bytes(), 3).unwrap(),
        gzip(&zstd::encode_all(line.as_bytes(), 3).unwrap()),
        // As a node packs a body.
        packed.bytes,
        // Cut short, as at the end of a segment.
        gzip(&long)[..1 << 16].to_vec(),
    ] {
        // A short text may stand in a compressed stretch as it is: that is found besides.
        assert!(found(&amid_noise(&compressed)).contains(&(1, Form::Raw, true)));
    }
}

#[test]
fn a_folder_is_searched_to_its_last_file_and_without_what_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    let skipped = folder.path().join("log");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::create_dir_all(&skipped).unwrap();
    std::fs::write(skipped.join("daemon.log"), SECRET).unwrap();
    let looked = || search().in_folder(folder.path(), Some(&skipped)).unwrap();
    assert_eq!(looked(), []);
    std::fs::write(deep.join("segment"), amid_noise(&gzip(SECRET.as_bytes()))).unwrap();
    let leaks = looked();
    assert_eq!(leaks.len(), 1);
    assert!(leaks[0].place.ends_with("segment"));
    assert!(!format!("{leaks:?}").contains(SECRET));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn base64_gives_a_text_away_wherever_it_stands(
        before in proptest::collection::vec(any::<u8>(), 0..40),
        after in proptest::collection::vec(any::<u8>(), 0..40),
        url in any::<bool>(),
    ) {
        let whole = [before.as_slice(), SECRET.as_bytes(), &after].concat();
        let alphabet = if url { data_encoding::BASE64URL } else { data_encoding::BASE64 };
        let found = found(alphabet.encode(&whole).as_bytes());
        prop_assert_eq!(found, [(1, Form::Base64, false)]);
    }
}
