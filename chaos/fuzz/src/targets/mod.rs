//! One file for each target.

pub(crate) mod commands;
pub(crate) mod config;
pub(crate) mod history;
pub(crate) mod keys;
pub(crate) mod log_records;
pub(crate) mod partial_completions;
pub(crate) mod requests;
pub(crate) mod stored_records;
pub(crate) mod tokens;
pub(crate) mod wal_damage;
pub(crate) mod wal_forgery;
