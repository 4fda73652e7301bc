//! What each command does; one file per subject.

pub(crate) mod activity;
pub(crate) mod context;
pub(crate) mod create;
pub(crate) mod delivery;
pub(crate) mod ending;
pub(crate) mod entity;
pub(crate) mod locks;
pub(crate) mod purge;
pub(crate) mod rewind;
pub(crate) mod suspension;
pub(crate) mod terminate;
pub(crate) mod timers;
pub(crate) mod turn;
