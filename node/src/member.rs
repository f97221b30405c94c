//! Who this node is: its member's profile and secret keys, and the node's own key.

use hanse_protocol::admission::Reader;
use hanse_protocol::charter::member::Profile;
use hanse_protocol::identity::NodeId;
use hanse_protocol::identity::keys::{SealingKey, SigningKey};
use zeroize::Zeroizing;

use crate::keystore::{Keystore, KeystoreError};

const SIGNING: &str = "member-signing.key";
const SEALING: &str = "member-sealing.key";
const NODE: &str = "node.key";

/// Profile and keys. Nothing of it prints a secret.
pub struct Member {
    /// Who we are.
    pub profile: Profile,
    /// Signs records and charters.
    pub signing: SigningKey,
    /// Opens what is sealed to us.
    pub reader: Reader,
    /// Names this node on the mesh.
    pub node: SigningKey,
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
        Ok(Self {
            profile,
            signing: SigningKey::from_seed(&*key(SIGNING)?),
            reader: Reader {
                sealing: vec![SealingKey::from_bytes(&*key(SEALING)?)],
            },
            node: SigningKey::from_seed(&*key(NODE)?),
        })
    }

    /// The key that is sealed to.
    pub fn sealing(&self) -> Option<&SealingKey> {
        self.reader.sealing.first()
    }

    /// This node's public name.
    pub fn node_id(&self) -> NodeId {
        NodeId(*self.node.verifying_key().as_bytes())
    }
}
