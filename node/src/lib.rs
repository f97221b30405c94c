//! x
pub mod keystore;
pub mod store;
