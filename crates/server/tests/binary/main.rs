//! The binary as people and service managers run it.

mod collector;
mod commands;
mod dev;
mod hubs;
mod traces;
