//! What the tests share: the frozen vectors, how they are made and read, and the fuzz targets.

pub mod fuzz;
pub mod vectors;
