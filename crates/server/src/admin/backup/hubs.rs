//! The task hubs of a backup: those after the copies, and whatever there was before.

use std::collections::BTreeSet;

use longhaul_cluster::catalog::Hubs;
use longhaul_proto::admin::v1 as wire;

/// Every hub that the copies may hold something of, when they were taken between `before` and `after`.
///
/// What was made meanwhile is in `after`. What was deleted meanwhile, and perhaps even removed, may be in the copies:
/// restored, it is to be removed once more.
pub(super) fn between(before: &Hubs, after: &Hubs) -> wire::Hubs {
    let listed: Vec<wire::Hub> = after
        .list()
        .map(|hub| wire::Hub {
            id: hub.id.0,
            name: hub.name.as_str().to_owned(),
        })
        .collect();
    let ids = |hubs: &Hubs| -> BTreeSet<u32> {
        let listed = hubs.list().map(|hub| hub.id.0);
        listed.chain(hubs.doomed().map(|hub| hub.0)).collect()
    };
    let mut doomed = ids(before);
    doomed.extend(ids(after));
    for hub in &listed {
        doomed.remove(&hub.id);
    }
    wire::Hubs {
        last_id: after.last_id().0,
        listed,
        doomed: doomed.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_cluster::catalog::{Catalog, Command, Founding};
    use longhaul_types::{HubId, HubName, PartitionCount};

    use super::*;

    fn hubs(commands: &[Command]) -> Hubs {
        let mut catalog = Catalog::new(Founding {
            cluster_id: [1; 16],
            partitions: PartitionCount::new(1).expect("a power of two"),
            replicas: 1,
            token_key: [2; 32],
        });
        for command in commands {
            catalog.apply(command.clone());
        }
        catalog.hubs
    }

    fn name(name: &str) -> HubName {
        HubName::parse(name).expect("valid")
    }

    #[test]
    fn what_is_deleted_meanwhile_is_doomed_even_if_it_is_forgotten_by_then() {
        let mut commands = vec![
            Command::CreateHub(name("a")),
            Command::CreateHub(name("b")),
            Command::CreateHub(name("c")),
            Command::DeleteHub(name("c")),
        ];
        let before = hubs(&commands);
        commands.extend([
            Command::DeleteHub(name("a")),
            Command::ForgetHub(HubId(1)),
            Command::ForgetHub(HubId(3)),
            Command::CreateHub(name("d")),
            Command::RecreateHub(name("b")),
        ]);
        let found = between(&before, &hubs(&commands));
        let listed: Vec<(u32, &str)> = found
            .listed
            .iter()
            .map(|hub| (hub.id, &*hub.name))
            .collect();
        assert_eq!(listed, [(5, "b"), (4, "d")]);
        assert_eq!(found.doomed, [1, 2, 3]);
        assert_eq!(found.last_id, 5);
    }

    #[test]
    fn a_cluster_without_hubs_has_none() {
        let none = hubs(&[]);
        assert_eq!(between(&none, &none), wire::Hubs::default());
    }
}
