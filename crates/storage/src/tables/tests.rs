//! The tables against the engine's model of them, over both stores.

mod agreement;
mod effort;
mod faults;
mod indexes;
mod looks;
mod measure;
mod phases;
mod readings;
mod world;
