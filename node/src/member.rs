//! Who this node is: its member's profile and secret keys, and the node's own key.

use hanse_protocol::admission::Reader;
use hanse_protocol::charter::Charter;
use hanse_protocol::charter::member::Profile;
use hanse_protocol::identity::keys::{SealingKey, SigningKey};
use hanse_protocol::identity::{KeyId, NodeId};
use hanse_protocol::limits;
use zeroize::Zeroizing;

use crate::keystore::{Keystore, KeystoreError};

const SIGNING: &str = "member-signing.key";
const SEALING: &str = "member-sealing.key";
const NODE: &str = "node.key";

/// Most keys of each kind that a node may have drawn: a charter lists no more of a member.
const ROTATIONS: usize = limits::MEMBER_KEYS;

/// Profile and keys. Nothing of it prints a secret.
pub struct Member {
    /// Who we are.
    pub profile: Profile,
    /// Signs records and charters: the first key, see [`Member::signing_under`].
    pub signing: SigningKey,
    /// Keys drawn since to sign with, the oldest first.
    rotated: Vec<SigningKey>,
    /// Opens what is sealed to us: all keys there ever were, the oldest first.
    pub reader: Reader,
    /// Names this node on the mesh.
    pub node: SigningKey,
    /// What replacement ids and pseudonyms hang on.
    redaction: Zeroizing<[u8; 32]>,
}

/// Why keys cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The keystore refused.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// A key file opened but does not hold a key.
    #[error("`{0}` does not hold a key of 32 bytes")]
    Malformed(&'static str),
    /// A charter lists no more keys of a member.
    #[error("a member has {} keys of each kind at most", limits::MEMBER_KEYS)]
    Spent,
}

/// The file of the key drawn as the `number`th.
fn numbered(first: &str, number: usize) -> String {
    first.replace(".key", &format!("-{number}.key"))
}

impl Member {
    /// Draws new keys and stores them.
    ///
    /// # Errors
    /// [`MemberError::Keystore`].
    pub fn create(keystore: &Keystore) -> Result<(), MemberError> {
        let mut rng = rand::rng();
        keystore.seal_file(SIGNING, SigningKey::generate(&mut rng).seed().as_slice())?;
        keystore.seal_file(SEALING, SealingKey::generate(&mut rng).to_bytes().as_slice())?;
        keystore.seal_file(NODE, SigningKey::generate(&mut rng).seed().as_slice())?;
        Ok(())
    }

    /// Reads the stored keys.
    ///
    /// # Errors
    /// [`MemberError`].
    pub fn open(profile: Profile, keystore: &Keystore) -> Result<Self, MemberError> {
        let key = |name: &'static str| -> Result<Zeroizing<[u8; 32]>, MemberError> {
            let bytes = keystore.open_file(name)?;
            bytes
                .as_slice()
                .try_into()
                .map(Zeroizing::new)
                .map_err(|_| MemberError::Malformed(name))
        };
        let mut rotated = Vec::new();
        let mut sealing = vec![SealingKey::from_bytes(&*key(SEALING)?)];
        for number in 2..=ROTATIONS {
            let read = |kind| match keystore.open_file(&numbered(kind, number)) {
                Ok(bytes) => {
                    let key: Result<[u8; 32], _> = bytes.as_slice().try_into();
                    let key = key.map_err(|_| MemberError::Malformed("a later key"))?;
                    Ok(Some(Zeroizing::new(key)))
                }
                Err(KeystoreError::Missing(_)) => Ok(None),
                Err(error) => Err(MemberError::from(error)),
            };
            let (Some(signing), Some(later)) = (read(SIGNING)?, read(SEALING)?) else {
                break;
            };
            rotated.push(SigningKey::from_seed(&signing));
            sealing.push(SealingKey::from_bytes(&later));
        }
        Ok(Self {
            profile,
            signing: SigningKey::from_seed(&*key(SIGNING)?),
            rotated,
            reader: Reader { sealing },
            node: SigningKey::from_seed(&*key(NODE)?),
            redaction: keystore.master().subkey("redaction"),
        })
    }

    /// The secret that replacement ids and pseudonyms hang on: who does not have it cannot tell whose they are.
    pub(crate) fn redaction(&self) -> &[u8; 32] {
        &self.redaction
    }

    /// Draws another signing key and another sealing key and stores them. They are used once a
    /// charter lists them.
    ///
    /// # Errors
    /// [`MemberError::Keystore`]; [`MemberError::Spent`] after [`limits::MEMBER_KEYS`].
    pub fn rotate(&self, keystore: &Keystore) -> Result<(SigningKey, SealingKey), MemberError> {
        let number = self.rotated.len() + 2;
        if number > ROTATIONS {
            return Err(MemberError::Spent);
        }
        let mut rng = rand::rng();
        let (signing, sealing) = (SigningKey::generate(&mut rng), SealingKey::generate(&mut rng));
        // The sealing key first: a pair counts once its signing key is there.
        keystore.seal_file(&numbered(SEALING, number), sealing.to_bytes().as_slice())?;
        keystore.seal_file(&numbered(SIGNING, number), signing.seed().as_slice())?;
        Ok((signing, sealing))
    }

    /// The first key that is sealed to.
    pub fn sealing(&self) -> Option<&SealingKey> {
        self.reader.sealing.first()
    }

    /// The key to sign with under a charter: the newest of ours that it lists as open, or the first.
    pub fn signing_under(&self, charter: &Charter) -> &SigningKey {
        let open = |key: &&SigningKey| {
            let id = key.verifying_key();
            let listed = charter.member(&self.profile.handle);
            listed.is_some_and(|member| {
                let mut keys = member.signing.iter();
                keys.any(|signing| signing.key == id && signing.closed.is_none())
            })
        };
        self.rotated.iter().rev().find(open).unwrap_or(&self.signing)
    }

    /// Whether this node has that key to sign with, used still or no longer.
    pub fn signs_with(&self, key: KeyId) -> bool {
        let mut keys = self.rotated.iter().chain([&self.signing]);
        keys.any(|signing| signing.verifying_key().id() == key)
    }

    /// The key to seal with under a charter: the newest of ours that it lists as open, or the first.
    pub fn sealing_under(&self, charter: &Charter) -> Option<&SealingKey> {
        let open = |key: &&SealingKey| {
            let public = key.public();
            let listed = charter.member(&self.profile.handle);
            listed.is_some_and(|member| {
                let mut keys = member.sealing.iter();
                keys.any(|sealing| sealing.key.x25519() == Some(&public) && !sealing.closed)
            })
        };
        let mut newest = self.reader.sealing.iter().rev();
        newest.find(open).or_else(|| self.sealing())
    }

    /// This node's public name.
    pub fn node_id(&self) -> NodeId {
        NodeId(*self.node.verifying_key().as_bytes())
    }
}
