//! x

pub mod mesh;
