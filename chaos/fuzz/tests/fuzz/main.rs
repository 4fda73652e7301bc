//! The fuzz targets with every test run: their corpora, small changes to them, and what was once found.

mod found;
mod layout;
mod replay;
mod seeds;
