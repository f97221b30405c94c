//! The Hanse node.
pub mod exchange;
pub mod reading;
pub mod settings;
