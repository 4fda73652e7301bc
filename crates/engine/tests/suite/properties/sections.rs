//! Critical sections as those who are inside rely on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longhaul_engine::dispatch::turn_ready;
use longhaul_engine::instance::{Hold, Instance};
use longhaul_engine::mem::MemTables;
use longhaul_engine::{Command, InstanceKey};
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_types::InstanceId;

use super::checks;
use crate::support::{Cluster, decode};

/// Longer than anything waits for its time.
const FAR: Duration = Duration::from_secs(86_400);

/// What is excused: purging an entity takes it away from whoever has locked it.
#[derive(Default)]
pub(super) struct Sections {
    purged: BTreeSet<(InstanceKey, String)>,
}

impl Sections {
    /// SYS-18: from its grant until it leaves or ends, an execution holds every entity that it has not left. A rewound one
    /// does nothing before it holds them again.
    pub(super) fn check(&mut self, before: &MemTables, cluster: &Cluster, command: &Command) {
        if let Command::Purge { targets } = command {
            let locked = targets.iter().filter_map(|target| {
                let lock = before.entities.get(&target.key)?.lock.as_ref()?;
                Some((target.key.clone(), lock.id.to_string()))
            });
            self.purged.extend(locked);
        }
        for tables in &cluster.partitions {
            let live = tables.instances.iter();
            for (key, owner) in live.filter(|(_, owner)| !owner.status.is_terminal()) {
                let inside = believed(tables, key, owner);
                let noted = owner.locks.iter();
                let noted =
                    noted.filter(|(_, it)| matches!(it.hold, Hold::Granted | Hold::Regained));
                let noted: BTreeSet<(String, InstanceId)> = noted
                    .flat_map(|(id, it)| it.entities.iter().map(|e| (id.to_string(), e.clone())))
                    .collect();
                assert_eq!(noted, inside, "{key:?} by its record and by its history");
                if owner.regains_locks() {
                    assert!(
                        !turn_ready(owner, cluster.now + FAR),
                        "{key:?} is not inside"
                    );
                }
                for (section, locks) in &owner.locks {
                    for entity in locks
                        .entities
                        .iter()
                        .filter(|_| locks.hold == Hold::Granted)
                    {
                        self.check_held(cluster, key, owner, section, entity);
                    }
                }
            }
        }
    }

    fn check_held(
        &self,
        cluster: &Cluster,
        key: &InstanceKey,
        owner: &Instance,
        section: &str,
        entity: &InstanceId,
    ) {
        let entity_key = InstanceKey::new(key.hub, entity.clone());
        if self.purged.contains(&(entity_key, section.to_owned())) {
            return;
        }
        let lock = cluster
            .entity(entity.as_str())
            .and_then(|it| it.lock.as_ref());
        let lock = lock.map(|it| (&*it.id, &it.owner, &it.execution));
        assert_eq!(
            lock,
            Some((section, &key.id, &owner.execution)),
            "{key:?} is in {section} and does not hold {entity}"
        );
    }
}

/// What whoever replays the history, and sees what waits, believes to have locked.
fn believed(
    tables: &MemTables,
    key: &InstanceKey,
    owner: &Instance,
) -> BTreeSet<(String, InstanceId)> {
    let inbox = owner.inbox.iter().map(|message| decode(&message.event));
    let (mut wanted, mut inside) = (BTreeMap::new(), BTreeSet::new());
    for event in checks::history(tables, key).into_iter().chain(inbox) {
        match event.event_type {
            Some(EventType::EntityLockRequested(it)) => {
                _ = wanted.insert(it.critical_section_id, it.lock_set);
            }
            Some(EventType::EntityLockGranted(it)) => {
                let section = it.critical_section_id;
                let entities = wanted.remove(&section).unwrap_or_default();
                let entities = entities.iter().map(|it| entity(it));
                inside.extend(entities.map(|it| (section.clone(), it)));
            }
            Some(EventType::EntityUnlockSent(it)) => {
                let left = entity(&it.target_instance_id.unwrap_or_default());
                inside.remove(&(it.critical_section_id, left));
            }
            _ => {}
        }
    }
    inside
}

fn entity(named: &str) -> InstanceId {
    InstanceId::parse_entity(named).expect("one of the entities there are")
}
