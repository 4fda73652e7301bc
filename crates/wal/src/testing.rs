//! A disk in memory for simulations and tests: it loses power, tears writes, fails and decays on
//! request.

pub use crate::files::sim::SimFiles;
