//! Puts the crates together: storage and log below, partitions over them, the SDKs' service on top.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::join_all;
use longhaul_cluster::catalog::{Catalog, Founding};
use longhaul_cluster::meta::Meta;
use longhaul_frontend::{Dependencies, Limits};
use longhaul_partition::{Clock, Partition, Partitions, Randomness};
use longhaul_peer::{Identity, Links};
use longhaul_replication::{Group, GroupConfig, Network, NodeId, RemoteConfig};
use longhaul_routing::{ClusterSetup, LateCourier, Router, RouterSetup};
use longhaul_storage::{RocksStore, Store};
use longhaul_types::HubName;
use longhaul_wal::{RealFiles, Wal};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::admin::{self, AdminSetup, OthersSetup};
use crate::call_endings::CallEndings;
use crate::config::Config;
use crate::data_dir::{DataDir, Sync};
use crate::fault::FaultHandler;
use crate::grpc::{Lasting, Traced};
use crate::hubs::{Creation, HubRegistry, HubsOverRpc};
use crate::membership::{self, CatalogDecisions, MetaParts, Place};
use crate::replicas::{Led, Replicas};
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

/// What a node keeps and takes part in: log, state, the catalog, its replicas, and the way to all others.
pub(crate) struct Hosted {
    node: NodeId,
    pub(crate) partitions: Partitions,
    pub(crate) router: Router,
    pub(crate) meta: Meta,
    pub(crate) catalog: watch::Receiver<Arc<Catalog>>,
    pub(crate) wal: Arc<Wal>,
    /// Begins and ends replicas as the catalog changes.
    following: AbortOnDropHandle<()>,
    /// Dropped last: until then other nodes are answered.
    links: Arc<dyn Links>,
}

impl Hosted {
    /// Recovers what `data` holds, or begins it; this node's replicas take part from then on.
    pub(crate) async fn start(
        config: &Config,
        data: &mut DataDir,
        place: Place,
        surroundings: &Surroundings,
    ) -> anyhow::Result<Self> {
        let mut member = membership::become_member(config, data, place, surroundings).await?;
        let identity = member.identity;
        let opening_wal = {
            let config = wal_config(config, data, &surroundings.on_fault);
            let identity = longhaul_wal::Identity {
                cluster_id: identity.cluster.0,
                node_id: identity.node.0,
            };
            spawn_blocking(move || Wal::open(config, identity, Arc::new(RealFiles)))
        };
        let opening_store = {
            let (dir, has_log) = (data.state_dir(), data.identity().has_log);
            let storage = storage_config(config);
            spawn_blocking(move || {
                let store = RocksStore::open(&dir, &storage)?;
                check_owner(&store, &identity, has_log)
                    .with_context(|| format!("the state in {}", dir.display()))?;
                anyhow::Ok(store)
            })
        };
        // At the same time: each reads its own files.
        let (wal, store) = tokio::join!(opening_wal, opening_store);
        let (wal, store) = (Arc::new(wal??), Arc::new(store??));
        let recovery = wal.recovery();
        tracing::debug!(?recovery, "write-ahead log opened");
        data.note_log()?;

        let links = member.links(config)?;
        let network = Network::remote(identity.node, links.clone(), RemoteConfig::default());
        let led = Led::default();
        let meta = member
            .join_meta(
                config,
                data,
                MetaParts {
                    log: wal.group(longhaul_cluster::meta::GROUP),
                    network: network.clone(),
                    links: links.clone(),
                    hosting: Arc::new(led.clone()),
                },
                surroundings,
            )
            .await?;
        let mut catalog = membership::first_catalog(&meta).await?;
        let founding = catalog.borrow().founding.clone();

        let on_fault = surroundings.on_fault.clone();
        let courier = LateCourier::new();
        let partitions = Partitions::new(longhaul_partition::Setup {
            count: founding.partitions,
            node: identity.node,
            config: partition_config(config),
            group_config: group_config(config),
            network,
            courier: Some(Arc::new(courier.clone())),
            clock: surroundings.clock.clone(),
            randomness: surroundings.randomness.clone(),
            token_key: founding.token_key,
            on_fault: Arc::new(move |partition, cause| {
                on_fault.raise(&format_args!("partition {partition}: {cause}"));
            }),
        });
        let router = Router::new(RouterSetup {
            node: identity.node,
            partitions: partitions.clone(),
            cluster: member.among_others.then(|| ClusterSetup {
                links: links.clone(),
                members: membership::members(&catalog),
                replicas: membership::replicas(&catalog),
            }),
            hold: HOLD,
            randomness: surroundings.randomness.clone(),
        });
        router.serve(&courier);
        let instance_memory = config.storage.instance_memory.as_usize();
        let replicas = Replicas {
            node: identity.node,
            partitions: partitions.clone(),
            store,
            wal: wal.clone(),
            resident_bytes_max: instance_memory / usize::from(founding.partitions.get()),
            absent: Mutex::default(),
            diverged: Mutex::default(),
        };
        led.serve(partitions.clone());
        let newest = membership::placed(&mut catalog).await?;
        replicas.bring_about(&newest).await?;
        let following = tokio::spawn({
            let catalog = catalog.clone();
            async move { replicas.follow(catalog).await }
        });
        Ok(Self {
            node: identity.node,
            partitions,
            router,
            meta,
            catalog,
            wal,
            following: AbortOnDropHandle::new(following),
            links,
        })
    }

    /// What the cluster was formed with.
    pub(crate) fn founding(&self) -> Founding {
        self.catalog.borrow().founding.clone()
    }

    /// What operators ask of the cluster.
    pub(crate) fn admin(&self, data: &DataDir, surroundings: &Surroundings) -> axum::Router {
        let router = self.router.clone();
        admin::routes(AdminSetup {
            node: self.node,
            cluster: Arc::new(self.meta.clone()),
            leaders: Arc::new(move || router.leaders()),
            partitions: self.partitions.clone(),
            others: Some(OthersSetup {
                links: self.links.clone(),
                members: membership::members(&self.catalog),
            }),
            data: data.path().to_owned(),
            clock: surroundings.clock.clone(),
            randomness: surroundings.randomness.clone(),
        })
    }

    /// Waits until every partition with a replica here has a leader: only then are calls answered at once.
    pub(crate) async fn wait_for_leaders(&self) {
        for partition in self.partitions.all_hosted() {
            let mut leadership = partition.leadership();
            // One that stops is no concern of whoever waits for the others.
            let _ = leadership.wait_for(|it| it.leader.is_some()).await;
        }
    }

    /// Hands leadership to other nodes, as far as there are any that can take it.
    pub(crate) async fn hand_over(&self) {
        let partitions = self.partitions.all_hosted();
        let groups = partitions.iter().map(Partition::group);
        // The meta group's leadership goes with its end.
        join_all(groups.map(hand_over)).await;
    }

    /// Finishes what is on its way, writes a last checkpoint and closes the log.
    pub(crate) async fn stop(self) {
        self.following.abort();
        // Only then does nobody begin a replica any more.
        let _ = self.following.await;
        drop(self.router);
        self.partitions.stop().await;
        self.meta.stop().await;
        drop(self.meta);
        drop(self.partitions);
        let Some(wal) = Arc::into_inner(self.wal) else {
            return;
        };
        if let Ok(Err(fault)) = spawn_blocking(move || wal.close()).await {
            // Reported when it happened.
            tracing::debug!(%fault, "the log had failed before it was closed");
        }
    }
}

/// Hands the leadership of one group to whoever of its other voters takes it.
async fn hand_over(group: &Group) {
    let me = group.node();
    if group.leadership().borrow().leader != Some(me) {
        return;
    }
    for voter in group.membership().voters {
        if voter != me && group.transfer_leader(voter).await.is_ok() {
            return;
        }
    }
}

/// For how long a call is held up while its partition has no leader.
const HOLD: Duration = Duration::from_secs(2);

/// Timing of every group.
pub(crate) fn group_config(config: &Config) -> GroupConfig {
    let silence_max = config.cluster.election_timeout;
    GroupConfig {
        heartbeat_interval: silence_max / 5,
        election_timeout_min: silence_max * 7 / 10,
        election_timeout_max: silence_max,
        quorum_loss_probe_interval: silence_max * 2,
        ..GroupConfig::default()
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

pub(crate) fn wal_config(
    config: &Config,
    data: &DataDir,
    on_fault: &FaultHandler,
) -> longhaul_wal::Config {
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

pub(crate) fn storage_config(config: &Config) -> longhaul_storage::Config {
    let storage = &config.storage;
    longhaul_storage::Config {
        block_cache_bytes: storage.block_cache.as_usize(),
        write_buffers_bytes: storage.write_buffers.as_usize(),
        partition_write_buffer_bytes: storage.partition_write_buffer.as_usize(),
        background_jobs: u16::try_from(storage.background_jobs).unwrap_or(u16::MAX),
    }
}

/// Ties the state to the identity when it is new; later, a state that is missing or another node's is refused.
pub(crate) fn check_owner(
    store: &RocksStore,
    identity: &Identity,
    has_log: bool,
) -> anyhow::Result<()> {
    let ours = [
        identity.cluster.0.as_slice(),
        &identity.node.0.to_be_bytes(),
    ]
    .concat();
    match store.node_fact(OWNER_FACT)? {
        Some(owner) if owner == ours => Ok(()),
        Some(_) => bail!(
            "belongs to another node; a data directory must never be put together from several"
        ),
        None if has_log => bail!(
            "is missing, though this directory was used before; the log alone does not hold everything, so restore \
             the whole directory from a copy, or empty it and let the node join anew"
        ),
        None => Ok(store.put_node_fact(OWNER_FACT, &ours)?),
    }
}

/// The task hubs: those of the cluster, and those that the configuration wants.
pub(crate) async fn hubs(config: &Config, hosted: &Hosted) -> anyhow::Result<HubRegistry> {
    let creation = match config.hubs.dynamic {
        true => Creation::OnFirstUse,
        false => Creation::Explicit,
    };
    let decisions = CatalogDecisions::new(hosted.meta.clone(), hosted.catalog.clone());
    let hubs = HubRegistry::follow(Arc::new(decisions), creation, config.retention.clone());
    for name in &config.hubs.create {
        hubs.create(name).await?;
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
    router: &Router,
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
        router: router.clone(),
        hubs: Arc::new(HubsOverRpc {
            registry: hubs,
            managed: config.hubs.manage_over_rpc,
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
