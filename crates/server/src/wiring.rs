//! Puts the crates together: storage and log below, partitions over them, the SDKs' service on top.

use std::sync::Arc;

use anyhow::{Context, bail};
use longhaul_engine::tables::PartitionState;
use longhaul_frontend::{Dependencies, Limits};
use longhaul_partition::{Clock, Partitions, Randomness};
use longhaul_replication::{GroupConfig, GroupId, NodeId};
use longhaul_storage::{PartitionTables, RocksStore, Store};
use longhaul_types::HubName;
use longhaul_wal::{RealFiles, Wal};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::call_endings::CallEndings;
use crate::config::Config;
use crate::data_dir::{DataDir, Identity, Sync};
use crate::fault::FaultHandler;
use crate::grpc::{Lasting, Traced};
use crate::hubs::{Creation, HubRegistry, HubsOverRpc, Opening};
use crate::telemetry::wal::WalMeters;

/// The node's fact that tells whose state it is.
const OWNER_FACT: &[u8] = b"owner";

/// What everything below is given instead of reaching for it.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) on_fault: FaultHandler,
}

/// The partitions of this node, over its log and state.
pub(crate) struct Hosted {
    pub(crate) partitions: Partitions,
    pub(crate) wal: Arc<Wal>,
}

impl Hosted {
    /// Recovers what `data` holds, or begins it, and leads every partition.
    pub(crate) async fn start(
        config: &Config,
        data: &mut DataDir,
        surroundings: &Surroundings,
    ) -> anyhow::Result<Self> {
        let identity = data.identity().clone();
        let opening_wal = {
            let config = wal_config(config, data, &surroundings.on_fault);
            let identity = longhaul_wal::Identity {
                cluster_id: identity.cluster_id,
                node_id: identity.node_id,
            };
            spawn_blocking(move || Wal::open(config, identity, Arc::new(RealFiles)))
        };
        let opening_tables = {
            let (dir, identity) = (data.state_dir(), identity.clone());
            let storage = storage_config(config);
            let resident_max =
                config.storage.instance_memory.as_usize() / usize::from(identity.partitions.get());
            spawn_blocking(move || {
                let store = RocksStore::open(&dir, &storage)?;
                check_owner(&store, &identity)
                    .with_context(|| format!("the state in {}", dir.display()))?;
                open_tables(&store, &identity, resident_max)
            })
        };
        // At the same time: each reads its own files.
        let (wal, tables) = tokio::join!(opening_wal, opening_tables);
        let (wal, tables) = (Arc::new(wal??), tables??);
        let recovery = wal.recovery();
        tracing::debug!(?recovery, "write-ahead log opened");
        data.note_log()?;

        let logs = (1..).map(|group| wal.group(GroupId(group)));
        let on_fault = surroundings.on_fault.clone();
        let partitions = Partitions::start(longhaul_partition::Setup {
            count: identity.partitions,
            node: NodeId(identity.node_id),
            config: partition_config(config),
            group_config: GroupConfig::default(),
            // Group 0 is left to what concerns the whole cluster.
            replicas: tables.into_iter().zip(logs).collect(),
            clock: surroundings.clock.clone(),
            randomness: surroundings.randomness.clone(),
            token_key: data.token_key(),
            on_fault: Arc::new(move |partition, cause| {
                on_fault.raise(&format_args!("partition {partition}: {cause}"));
            }),
        })
        .await?;
        Ok(Self { partitions, wal })
    }

    /// Finishes what is on its way, writes a last checkpoint and closes the log.
    pub(crate) async fn stop(self) {
        self.partitions.stop().await;
        let Some(wal) = Arc::into_inner(self.wal) else {
            return;
        };
        if let Ok(Err(fault)) = spawn_blocking(move || wal.close()).await {
            // Reported when it happened.
            tracing::debug!(%fault, "the log had failed before it was closed");
        }
    }
}

fn partition_config(config: &Config) -> longhaul_partition::Config {
    longhaul_partition::Config {
        checkpoint_interval: config.storage.checkpoint_interval,
        turn_lease_max: config.work_items.orchestration_lease_max,
        activity_lease_max: config.work_items.activity_lease_max,
        entity_lease_max: config.work_items.entity_lease_max,
        history_events_max: config.limits.history_events.into(),
        history_bytes_max: config.limits.history_bytes.0,
        pending_events_max: count(config.limits.pending_events),
        park_after: config.work_items.park_after,
        park_retry: config.work_items.park_retry,
        ..longhaul_partition::Config::default()
    }
}

fn wal_config(config: &Config, data: &DataDir, on_fault: &FaultHandler) -> longhaul_wal::Config {
    let on_fault = on_fault.clone();
    longhaul_wal::Config {
        segment_bytes: config.wal.segment_size.0,
        batch_bytes: config.wal.batch_size.0,
        cache_bytes: config.wal.cache_size.0,
        prewrite: config.wal.prewrite,
        sync: data.sync() == Sync::Always,
        must_exist: data.identity().has_log,
        hooks: longhaul_wal::Hooks {
            on_fault: Arc::new(move |fault| {
                on_fault.raise(&format_args!("write-ahead log: {fault}"))
            }),
            observer: Arc::new(WalMeters::register()),
            ..longhaul_wal::Hooks::default()
        },
        ..longhaul_wal::Config::new(data.wal_dir())
    }
}

fn storage_config(config: &Config) -> longhaul_storage::Config {
    let storage = &config.storage;
    longhaul_storage::Config {
        block_cache_bytes: storage.block_cache.as_usize(),
        write_buffers_bytes: storage.write_buffers.as_usize(),
        partition_write_buffer_bytes: storage.partition_write_buffer.as_usize(),
        background_jobs: u16::try_from(storage.background_jobs).unwrap_or(u16::MAX),
    }
}

/// Ties the state to the identity when it is new; later, a state that is missing or another node's is refused.
fn check_owner(store: &RocksStore, identity: &Identity) -> anyhow::Result<()> {
    let ours = [
        identity.cluster_id.as_slice(),
        &identity.node_id.to_be_bytes(),
    ]
    .concat();
    match store.node_fact(OWNER_FACT)? {
        Some(owner) if owner == ours => Ok(()),
        Some(_) => bail!(
            "belongs to another node; a data directory must never be put together from several"
        ),
        None if identity.has_log => bail!(
            "is missing, though this directory was used before; the log alone does not hold everything, so restore \
             the whole directory from a copy"
        ),
        None => Ok(store.put_node_fact(OWNER_FACT, &ours)?),
    }
}

fn open_tables(
    store: &RocksStore,
    identity: &Identity,
    resident_bytes_max: usize,
) -> anyhow::Result<Vec<PartitionTables>> {
    let count = identity.partitions;
    count
        .all()
        .map(|id| {
            let rows = store.partition(id)?;
            Ok(PartitionTables::open(
                rows,
                PartitionState::new(id, count),
                resident_bytes_max,
            )?)
        })
        .collect()
}

/// The task hubs, as the configuration wants them.
pub(crate) fn open_hubs(
    config: &Config,
    data: &DataDir,
    on_fault: &FaultHandler,
) -> anyhow::Result<HubRegistry> {
    let creation = match config.hubs.dynamic {
        true => Creation::OnFirstUse,
        false => Creation::Explicit,
    };
    let hubs = HubRegistry::open(Opening {
        path: data.hubs_file(),
        sync: data.sync(),
        must_exist: data.identity().has_log,
        creation,
        retention: config.retention.clone(),
        on_fault: on_fault.clone(),
    })?;
    for name in &config.hubs.create {
        hubs.create(name)?;
    }
    Ok(hubs)
}

/// What calls and answers may hold.
fn content_limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits {
        payload_bytes: limits.payload.as_usize(),
        name_bytes: limits.name.as_usize(),
        version_bytes: limits.version.as_usize(),
        tags: count(limits.tags),
        tag_key_bytes: limits.tag_key.as_usize(),
        tag_value_bytes: limits.tag_value.as_usize(),
        tags_bytes: limits.tags_bytes.as_usize(),
        actions: count(limits.actions),
    }
}

fn count(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// The two steps of an end, as calls see them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping {
    /// Cancelled first: no new work, parked callers go elsewhere.
    pub(crate) draining: CancellationToken,
    /// Cancelled when workers had their time to finish what they hold.
    pub(crate) grace_over: CancellationToken,
}

/// The service of SDKs over the partitions.
pub(crate) fn service(
    config: &Config,
    partitions: &Partitions,
    hubs: Arc<HubRegistry>,
    surroundings: &Surroundings,
    stopping: Stopping,
) -> anyhow::Result<Traced<Lasting<longhaul_frontend::Server>>> {
    let frontend = longhaul_frontend::Config {
        default_hub: default_hub(config),
        limits: content_limits(config),
        message_bytes_max: config.limits.message.as_usize(),
        work_items_per_stream: config.limits.work_items_per_stream,
        ..longhaul_frontend::Config::default()
    };
    frontend.validate()?;
    let endings = CallEndings {
        hubs: hubs.clone(),
        default_hub: frontend.default_hub.clone(),
        grace_over: stopping.grace_over,
    };
    let service = longhaul_frontend::service(Dependencies {
        partitions: partitions.clone(),
        hubs: Arc::new(HubsOverRpc {
            registry: hubs,
            managed: config.hubs.manage_over_rpc,
            on_fault: surroundings.on_fault.clone(),
        }),
        clock: surroundings.clock.clone(),
        randomness: surroundings.randomness.clone(),
        draining: stopping.draining,
        config: frontend,
    });
    Ok(Traced(Lasting::new(service, endings)))
}

/// The hub of calls that name none: `default`, unless only others exist.
fn default_hub(config: &Config) -> HubName {
    let default = longhaul_frontend::Config::default().default_hub;
    let created = &config.hubs.create;
    match created.first() {
        Some(first) if !config.hubs.dynamic && !created.contains(&default) => first.clone(),
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Defaults are written where people read them and where they are used: here they are the same.
    #[test]
    fn what_is_not_set_is_as_the_crates_have_it() {
        let config = Config::server();
        assert_eq!(content_limits(&config), Limits::default());
        let partitions = partition_config(&config);
        let default = longhaul_partition::Config::default();
        assert_eq!(partitions.pending_events_max, default.pending_events_max);
        assert_eq!(partitions.history_events_max, default.history_events_max);
        assert_eq!(partitions.history_bytes_max, default.history_bytes_max);
        let frontend = longhaul_frontend::Config::default();
        assert_eq!(config.limits.message.as_usize(), frontend.message_bytes_max);
        assert_eq!(
            config.limits.work_items_per_stream,
            frontend.work_items_per_stream
        );
    }

    #[test]
    fn each_limit_goes_where_it_belongs() {
        let mut config = Config::server();
        let limits = &mut config.limits;
        let bytes = crate::config::ByteCount;
        (limits.payload, limits.name, limits.version) = (bytes(1), bytes(2), bytes(3));
        (limits.tag_key, limits.tag_value, limits.tags_bytes) = (bytes(4), bytes(5), bytes(6));
        (limits.tags, limits.actions) = (7, 8);
        (limits.pending_events, limits.history_events) = (9, 10);
        limits.history_bytes = bytes(11);
        let expected = Limits {
            payload_bytes: 1,
            name_bytes: 2,
            version_bytes: 3,
            tag_key_bytes: 4,
            tag_value_bytes: 5,
            tags_bytes: 6,
            tags: 7,
            actions: 8,
        };
        assert_eq!(content_limits(&config), expected);
        let partitions = partition_config(&config);
        assert_eq!(partitions.pending_events_max, 9);
        assert_eq!(partitions.history_events_max, 10);
        assert_eq!(partitions.history_bytes_max, 11);
    }
}
