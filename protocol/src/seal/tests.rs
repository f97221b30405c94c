use proptest::prelude::*;

use super::*;
use crate::compress;
use crate::identity::RecordId;

struct Scene {
    community: CommunityId,
    author: Handle,
    own: SealingKey,
    readers: Vec<SealingKey>,
}

impl Scene {
    fn new(readers: usize) -> Self {
        let mut rng = rand::rng();
        Self {
            community: CommunityId([7; 32]),
            author: "port-city".parse().unwrap(),
            own: SealingKey::generate(&mut rng),
            readers: (0..readers).map(|_| SealingKey::generate(&mut rng)).collect(),
        }
    }

    fn binding(&self) -> Binding<'_> {
        Binding {
            community: &self.community,
            author: &self.author,
            kind: Kind::Objects,
            created: Timestamp::from_millis(1),
            expires: Timestamp::from_millis(2),
            replaces: None,
        }
    }

    fn seal(&self, content: &[u8]) -> SealedBody {
        let packed = compress::pack(content).unwrap();
        let readers: Vec<_> = self.readers.iter().map(SealingKey::public).collect();
        seal(&packed, &readers, &self.own, &self.binding(), &mut rand::rng()).unwrap()
    }

    fn open(&self, sealed: &SealedBody, key: &SealingKey) -> Result<Option<Vec<u8>>, Refusal> {
        let keys = [SealingKey::from_bytes(&key.to_bytes())];
        let opened = sealed.open(&keys, &[self.own.public()], &self.binding())?;
        Ok(opened.map(|packed| packed.unpack().unwrap()))
    }
}

#[test]
fn readers_and_the_author_open_it_and_nobody_else() {
    let scene = Scene::new(2);
    let sealed = scene.seal(b"{\"incident\":1}");
    assert_eq!(sealed.stanzas(), 4, "two readers, the author, and one throw-away");
    for key in scene.readers.iter().chain([&scene.own]) {
        assert_eq!(scene.open(&sealed, key), Ok(Some(b"{\"incident\":1}".to_vec())));
    }
    let stranger = SealingKey::generate(&mut rand::rng());
    assert_eq!(scene.open(&sealed, &stranger), Ok(None));
}

#[test]
fn it_opens_under_its_own_header_only() {
    let scene = Scene::new(1);
    let sealed = scene.seal(b"text");
    let id = RecordId([1; 32]);
    let other = Binding {
        replaces: Some(&id),
        ..scene.binding()
    };
    let keys = [SealingKey::from_bytes(&scene.own.to_bytes())];
    assert_eq!(
        sealed.open(&keys, &[scene.own.public()], &other),
        Err(Refusal::Stanza)
    );
}

#[test]
fn two_texts_under_one_id_are_found_out_by_whoever_opens() {
    // The author wraps another key for one reader: the body's hash covers the commitment, so the
    // reader who gets the other key knows.
    let scene = Scene::new(1);
    let mut sealed = scene.seal(b"text");
    let mut rng = rand::rng();
    let reader = scene.readers[0].public();
    let hint = hint(&scene.own, &reader, &sealed.nonce);
    let other = wrap(&[9; 32], &sealed.nonce, &reader, hint, &scene.binding(), &mut rng).unwrap();
    let place = sealed
        .stanzas
        .iter()
        .position(|stanza| stanza.hint == hint)
        .unwrap();
    sealed.stanzas[place] = other;
    assert_eq!(scene.open(&sealed, &scene.readers[0]), Err(Refusal::Commitment));
    assert!(scene.open(&sealed, &scene.own).unwrap().is_some());
    let doubled = sealed.stanzas[place].clone();
    let free = (place + 1) % sealed.stanzas.len();
    sealed.stanzas[free] = doubled;
    assert_eq!(
        scene.open(&sealed, &scene.readers[0]),
        Err(Refusal::AmbiguousStanza)
    );
}

#[test]
fn an_open_body_and_an_unknown_suite() {
    let packed = compress::pack(b"hello").unwrap();
    let bytes = Body::Open(packed.clone()).encode();
    assert_eq!(Body::decode(&bytes), Ok(Body::Open(packed)));
    let later = minicbor::to_vec((SUITE_XWING, 1u8, 2u8)).unwrap();
    assert_eq!(Body::decode(&later), Err(Refusal::UnknownSuite));
}

#[test]
fn short_bodies_look_alike_and_long_ones_hardly_differ() {
    let scene = Scene::new(1);
    let size = |text: &[u8]| scene.seal(text).ciphertext.len();
    assert_eq!(size(b"a"), size(b"a much longer text, though still a short one"));
    for size in [300usize, 5_000, 70_000, 1_000_000] {
        let padded = padme(size);
        assert!(
            padded >= size && padded * 100 <= size * 112,
            "{size} became {padded}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn sealing_round_trips(content in prop::collection::vec(any::<u8>(), 0..3_000), readers in 0usize..9) {
        let scene = Scene::new(readers);
        let sealed = scene.seal(&content);
        let bytes = Body::Sealed(sealed).encode();
        let Body::Sealed(read) = Body::decode(&bytes).unwrap() else { panic!("sealed") };
        for key in scene.readers.iter().chain([&scene.own]) {
            prop_assert_eq!(scene.open(&read, key), Ok(Some(content.clone())));
        }
    }

    #[test]
    fn a_spoiled_body_never_opens_to_another_text(at in 0usize..10_000, flip in 1u8..=255) {
        let scene = Scene::new(1);
        let mut bytes = Body::Sealed(scene.seal(b"the one text")).encode();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        if let Ok(Body::Sealed(read)) = Body::decode(&bytes) {
            let opened = scene.open(&read, &scene.readers[0]);
            prop_assert!(!matches!(opened, Ok(Some(text)) if text != b"the one text"));
        }
    }

    #[test]
    fn no_bytes_make_a_body_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(body) = Body::decode(&bytes) {
            prop_assert_eq!(body.encode(), bytes);
        }
    }
}
