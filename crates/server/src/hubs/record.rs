//! The file of task hubs. Formats: 1 had no `doomed`; 2 is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use longhaul_types::{HubId, HubName};
use serde::{Deserialize, Serialize};

use super::{Hub, Hubs, RegistryError};

pub(super) const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    /// Above every id ever given.
    next_id: u32,
    hubs: Vec<HubRecord>,
    /// Ids of deleted hubs whose content may not be removed yet.
    #[serde(default)]
    doomed: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HubRecord {
    id: u32,
    name: String,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

pub(super) fn write(hubs: &Hubs) -> Vec<u8> {
    let listed = hubs.by_folded_name.values().map(|hub| HubRecord {
        id: hub.id.0,
        name: hub.name.to_string(),
    });
    let record = Record {
        format: FORMAT,
        next_id: hubs.next_id,
        hubs: listed.collect(),
        doomed: hubs.doomed.iter().map(|id| id.0).collect(),
    };
    let mut content = serde_json::to_vec_pretty(&record).expect("plain fields have a JSON form");
    content.push(b'\n');
    content
}

pub(super) fn read(path: &Path, content: &[u8]) -> Result<Hubs, RegistryError> {
    let damaged = |reason: String| RegistryError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let FormatOnly { format } =
        serde_json::from_slice(content).map_err(|error| damaged(error.to_string()))?;
    if !(1..=FORMAT).contains(&format) {
        return Err(RegistryError::Format {
            path: path.to_owned(),
            found: format,
        });
    }
    let record: Record =
        serde_json::from_slice(content).map_err(|error| damaged(error.to_string()))?;
    let mut ids = BTreeSet::new();
    let mut id = |id: u32, of: &str| {
        let usable = id < record.next_id && ids.insert(id);
        let twice = || damaged(format!("the id {id} of {of} is used twice"));
        usable.then_some(HubId(id)).ok_or_else(twice)
    };
    let mut by_folded_name = BTreeMap::new();
    for hub in &record.hubs {
        let name = HubName::parse(&hub.name).map_err(|error| damaged(error.to_string()))?;
        let listed = Hub::new(id(hub.id, &hub.name)?, name);
        if by_folded_name
            .insert(listed.name.folded(), listed)
            .is_some()
        {
            return Err(damaged(format!("{} is there twice", hub.name)));
        }
    }
    let doomed = record.doomed.iter();
    let doomed = doomed.map(|doomed| id(*doomed, "a deleted hub"));
    Ok(Hubs {
        doomed: doomed.collect::<Result<_, _>>()?,
        next_id: record.next_id,
        by_folded_name,
        deleted: BTreeSet::new(),
    })
}
