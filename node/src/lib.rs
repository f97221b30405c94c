//! The Hanse node.
pub mod api;
pub mod exchange;
pub mod logging;
pub mod reading;
pub mod settings;
pub mod tokens;
