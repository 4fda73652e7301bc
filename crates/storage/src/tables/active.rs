//! Which instances and entities make work: markers among the rows, corrected by what changed since.

use longhaul_engine::key::InstanceKey;
use longhaul_engine::tables::TableFault;

use super::record::Record;
use super::residents::Residents;
use crate::fault::fault;
use crate::keys::{self, Kind};
use crate::rows::Rows;

/// Up to `limit` keys of active instances and entities after `after`, in order.
pub(super) fn page(
    rows: &dyn Rows,
    residents: &mut Residents,
    after: Option<&InstanceKey>,
    limit: usize,
) -> Result<Vec<InstanceKey>, TableFault> {
    let unwritten = residents.unwritten().to_vec();
    let begin = match after {
        Some(after) => unwritten.partition_point(|place| residents.peek(*place).0 <= after),
        None => 0,
    };
    let mut unwritten = unwritten[begin..]
        .iter()
        .map(|place| residents.peek(*place))
        .peekable();
    let mut found = Vec::new();
    let mut marker = after.map(|after| keys::instance::encode(Kind::Active, after));
    while found.len() < limit {
        let wanted = limit - found.len();
        let markers = rows.scan(&Kind::Active.prefix(), marker.as_deref(), wanted)?;
        for (marker, _) in &markers {
            let key = keys::instance::decode(Kind::Active, marker)
                .map_err(|corrupt| fault("active marker", corrupt))?;
            while let Some((changed, record)) = unwritten.next_if(|(changed, _)| **changed < key) {
                if record.is_some_and(Record::is_active) {
                    found.push(changed.clone());
                }
            }
            match unwritten.next_if(|(changed, _)| **changed == key) {
                Some((_, None)) => {}
                Some((_, Some(record))) if !record.is_active() => {}
                Some(_) | None => found.push(key),
            }
        }
        if markers.len() < wanted {
            let active = unwritten.filter(|(_, record)| record.is_some_and(Record::is_active));
            found.extend(active.map(|(key, _)| key.clone()));
            break;
        }
        marker = markers.last().map(|(key, _)| key.to_vec());
    }
    found.truncate(limit);
    Ok(found)
}
