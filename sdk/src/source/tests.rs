use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

fn read(text: impl Into<Vec<u8>>) -> Result<Vec<Item>, SourceError> {
    Source::reader("test", Cursor::new(text.into()))?.collect()
}

/// Lines and texts of the objects, and lines of what is bad.
fn told(items: Vec<Item>) -> (Vec<(u64, String)>, Vec<u64>) {
    let mut objects = Vec::new();
    let mut bad = Vec::new();
    for item in items {
        match item {
            Item::Object(object) => objects.push((object.line, object.raw.get().to_owned())),
            Item::Bad { line, .. } => bad.push(line),
        }
    }
    (objects, bad)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const ODD: &str = r#"{ "type":"malware" , "n":1.10e2,"é":"\u00e9 <>" }"#;

#[test]
fn every_shape_yields_its_objects_verbatim_with_their_lines() {
    let bundle = format!(
        "\n{{\n \"type\": \"bundle\", \"x\": {{\"objects\": 1}},\n \"objects\": [\n  {ODD},\n\n  {{\"type\":\n \"tool\"}} ]\n}}\n"
    );
    let envelope = format!("{{\"more\":false,\"objects\":[\n{ODD}\n]}}");
    let cases = [
        (bundle.clone(), vec![5, 7]),
        (envelope, vec![2]),
        (format!("[\n{ODD},{ODD}\n]"), vec![2, 2]),
        (format!("\u{feff}{ODD}"), vec![1]),
        (
            format!("{{\"type\":\"observed-data\",\n\"objects\":{{\"0\":{ODD}}}}}"),
            vec![1],
        ),
        (format!("\r\n{ODD}\r\n\r\n{ODD}\n"), vec![2, 4]),
        (
            format!("{{\"type\":\"bundle\",\"objects\":[{ODD},{ODD}]}}\n"),
            vec![1, 1],
        ),
        ("[]".to_owned(), vec![]),
    ];
    for (text, lines) in cases {
        for bytes in [text.clone().into_bytes(), gzip(&text)] {
            let (objects, bad) = told(read(bytes).unwrap());
            assert_eq!(
                objects.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
                lines,
                "{text}"
            );
            assert_eq!(bad, [0; 0]);
            assert!(objects.iter().all(|(_, object)| text.contains(object.as_str())));
        }
    }
    let (objects, _) = told(read(bundle).unwrap());
    assert_eq!(objects[0].1, ODD);
    assert_eq!(objects[1].1, "{\"type\":\n \"tool\"}");
}

#[test]
fn a_bad_line_is_told_and_the_rest_goes_on() {
    let long = format!("{{\"x\":\"{}\"}}", "a".repeat(LINE));
    let text = format!("{ODD}\n{{\"cut\":\"sho\n[1]\n{long}\n\u{0}\n{ODD}");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(b"\n{\"a\":\"\xff\"}\n{}\n");
    let (objects, bad) = told(read(bytes).unwrap());
    assert_eq!(
        objects.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [1, 6, 8]
    );
    assert_eq!(bad, [2, 3, 4, 5, 7]);

    let (objects, bad) = told(read(format!("{{\"cut\":\"sho\n{ODD}\n")).unwrap());
    assert_eq!((objects.len(), bad), (1, vec![1]));
}

#[test]
fn a_document_that_is_none_says_where() {
    let cases = [
        ("", 1),
        ("\n\nstix", 3),
        ("{\n\"type\":\"bundle\",\n\"objects\":[\n{]}", 4),
        ("{\"type\":\"bundle\"}\n", 1),
        ("{\"type\":\"bundle\",\"objects\":\n{}}", 2),
        ("\n[{},\n{}", 3),
        ("{'type': 'bundle',\n 'objects': []}", 1),
        (
            "{\"type\":\"bundle\",\"objects\":[]}\n{\"type\":\"bundle\",\"objects\":[]}",
            2,
        ),
    ];
    for (text, expected) in cases {
        match read(text) {
            Err(SourceError::Syntax { line, .. }) => assert_eq!(line, expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let (objects, bad) = told(read("[1,\n{},\nnull]").unwrap());
    assert_eq!((objects.len(), bad), (1, vec![1, 3]));
}

#[test]
fn a_cut_gzip_stream_yields_what_is_whole_and_then_an_error() {
    let text: String = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let packed = gzip(&text);
    let cut = packed[..packed.len() / 2].to_vec();
    let items: Vec<_> = Source::reader("test", Cursor::new(cut)).unwrap().collect();
    assert!(items.len() > 1_000);
    assert!(matches!(items.last(), Some(Err(SourceError::Io { .. }))));
    assert_eq!(items.iter().filter(|item| item.is_err()).count(), 1);
}

#[test]
fn a_name_that_says_lines_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("feed.NDJSON.gz");
    let packed = gzip(&format!("{{\"type\":\"bundle\",\n{ODD}\n"));
    std::fs::write(&path, &packed).unwrap();
    let mut source = Source::open(&path).unwrap();
    assert_eq!(source.length(), Some(u64::try_from(packed.len()).unwrap()));
    let items: Vec<Item> = source.by_ref().collect::<Result<_, _>>().unwrap();
    let (objects, bad) = told(items);
    assert_eq!((objects.len(), bad), (1, vec![1]));
    assert_eq!(
        source.bytes_read().load(Ordering::Relaxed),
        source.length().unwrap()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_input_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[{}\\[\\]\",:a\n ]{0,60}") {
        let _ = read(bytes);
        let _ = read(text);
    }

    #[test]
    fn objects_come_out_as_they_went_in(spaces in proptest::collection::vec("[ \t]{0,3}", 1..20), shape in 0..3) {
        let objects: Vec<String> = spaces.iter().enumerate()
            .map(|(n, space)| format!("{{{space}\"n\":{space}{n}{space}}}")).collect();
        let text = match shape {
            0 => objects.join("\n"),
            1 => format!("[{}]", objects.join(",\n")),
            _ => format!("{{\"type\":\"bundle\",\"objects\":[{}]}}", objects.join(" ,\n")),
        };
        let (read, bad) = told(read(text).unwrap());
        prop_assert_eq!(bad.len(), 0);
        let expected: Vec<(u64, String)> = (1..).zip(objects).collect();
        prop_assert_eq!(read, expected);
    }
}
