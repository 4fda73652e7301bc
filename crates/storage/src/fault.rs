//! How this crate says that a store is broken.

use std::fmt::Display;

use longhaul_engine::tables::TableFault;

/// The store is broken at `place`.
pub(crate) fn fault(place: impl Display, reason: impl Display) -> TableFault {
    TableFault {
        place: place.to_string(),
        reason: reason.to_string(),
    }
}
