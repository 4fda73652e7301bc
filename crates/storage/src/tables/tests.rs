//! The tables against the engine's model of them, over both stores.

mod agreement;
mod faults;
mod indexes;
mod looks;
mod measure;
mod phases;
mod world;
