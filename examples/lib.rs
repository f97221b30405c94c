//! What an integrator does with the Hanse SDK. Each example talks to the node that `HANSE_API` and
//! `HANSE_TOKEN_FILE` name; `hanse-testnet up` prints both for every node of a local league.

use std::path::PathBuf;

use hanse_sdk::{Client, DEFAULT_API, SdkError};

/// A client of the node that the environment names.
///
/// # Errors
/// [`SdkError`] if the address or the token file cannot be used.
pub fn client() -> Result<Client, SdkError> {
    let api = std::env::var("HANSE_API").unwrap_or_else(|_| DEFAULT_API.to_owned());
    let token = std::env::var_os("HANSE_TOKEN_FILE").map_or("tokens/admin.token".into(), PathBuf::from);
    Client::from_files(&api, &token)
}
