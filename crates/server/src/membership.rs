//! This node as a member of its cluster: how it becomes one, the way to the others, and what they have decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_cluster::catalog::{Addresses, Catalog, Command, Founding, Join, Reply};
use longhaul_cluster::controller;
use longhaul_cluster::formation::{
    Admitted, Begin, Belonging, CallFailure, Description, Formation, FormationSetup, GrpcWay,
    Invitation, Peer, Way,
};
use longhaul_cluster::meta::{FirstNodes, Hosting, Me, Meta, MetaSetup};
use longhaul_partition::Randomness;
use longhaul_peer::{
    AddressBook, ClusterId, GrpcConfig, GrpcLinks, GrpcSetup, Identity, Links, MemoryLinks, Port,
    PortSetup, Security, Tcp, TlsFiles,
};
use longhaul_replication::{GroupLog, Network, NodeId};
use longhaul_types::{PartitionCount, PartitionId};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;
use crate::data_dir::{DataDir, Membership, Sync};
use crate::hubs::Decisions;
use crate::listen::{ListenAddress, Listeners};
use crate::wiring::{Surroundings, group_config};

/// How often files of certificates are looked at.
const CERTIFICATES_CHECK: Duration = Duration::from_secs(60);

/// Between two words about what a start waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where other nodes and clients find this node.
pub(crate) struct Place {
    /// Sockets for other nodes; none for a node that stays alone.
    pub(crate) peers: Option<Listeners>,
    /// The port of SDKs.
    pub(crate) clients: ListenAddress,
}

/// A node that knows who it is.
pub(crate) struct Member {
    pub(crate) identity: Identity,
    /// Whether there are others, or may be.
    pub(crate) among_others: bool,
    first: Option<FirstNodes>,
    described: Join,
    formation: Formation,
    port: Option<Port>,
    addresses: AddressBook,
}

/// Finds out who this node is, or makes it a member of a cluster; waits for as long as it takes.
///
/// # Errors
/// The directory belongs to another cluster, or the cluster does not take this node.
pub(crate) async fn become_member(
    config: &Config,
    data: &mut DataDir,
    place: Place,
    surroundings: &Surroundings,
) -> anyhow::Result<Member> {
    let described = describe(config, data, &place);
    let port = match place.peers {
        Some(listeners) => Some(Port::open(PortSetup {
            config: GrpcConfig::default(),
            security: security(config),
            dial: Arc::new(Tcp),
            listen: Box::new(first_socket(listeners)?),
        })?),
        None => None,
    };
    let way: Arc<dyn Way> = match &port {
        Some(port) => Arc::new(GrpcWay(port.calls())),
        None => Arc::new(NoWay),
    };
    let membership = data.identity().membership;
    let formation = Formation::new(FormationSetup {
        me: described.clone(),
        peers: peers(config),
        known: membership.map(|Membership { cluster_id, node }| Belonging { cluster_id, node }),
        begin: Begin::WithPeers,
        founding: founding(config, &*surroundings.randomness)?,
        record: data.founding_file(),
        sync: data.sync() == Sync::Always,
        way,
    })?;
    let telling = AbortOnDropHandle::new(tokio::spawn(tell(formation.clone())));
    let (settled, port) = match port {
        Some(mut port) => {
            let settled = port.serve(formation.routes(), formation.settle()).await?;
            (settled, Some(port))
        }
        None => (formation.settle().await?, None),
    };
    drop(telling);
    data.become_member(Membership {
        cluster_id: settled.cluster_id,
        node: settled.node_id,
    })?;
    let mut process = [0; 8];
    surroundings.randomness.fill(&mut process);
    Ok(Member {
        identity: Identity {
            cluster: ClusterId(settled.cluster_id),
            node: settled.node_id,
            incarnation: data.identity().incarnation,
            process: u64::from_be_bytes(process),
        },
        among_others: port.is_some(),
        first: settled.first,
        described,
        formation,
        port,
        addresses: AddressBook::default(),
    })
}

impl Member {
    /// The way to other nodes.
    ///
    /// # Errors
    /// Its port or its certificates cannot be used.
    pub(crate) fn links(&mut self, config: &Config) -> anyhow::Result<Arc<dyn Links>> {
        let Some(port) = self.port.take() else {
            return Ok(MemoryLinks::new().of(self.identity.node));
        };
        let setup = GrpcSetup {
            identity: self.identity,
            config: GrpcConfig {
                seed: self.identity.process,
                ..GrpcConfig::default()
            },
            security: security(config),
            addresses: Arc::new(self.addresses.clone()),
            dial: Arc::new(Tcp),
            listen: port.into_listen(),
        };
        Ok(Arc::new(GrpcLinks::start_beside(
            setup,
            self.formation.routes(),
        )?))
    }

    /// Takes part in what the cluster decides, from now on.
    ///
    /// # Errors
    /// Its replica cannot start.
    pub(crate) async fn join_meta(
        &self,
        config: &Config,
        data: &DataDir,
        parts: MetaParts,
        surroundings: &Surroundings,
    ) -> anyhow::Result<Meta> {
        let on_fault = surroundings.on_fault.clone();
        let meta = Meta::start(MetaSetup {
            me: Me {
                node: self.identity.node,
                described: self.described.clone(),
            },
            first: self.first.clone(),
            state_file: data.catalog_file(),
            sync: data.sync() == Sync::Always,
            log: parts.log,
            network: parts.network,
            links: parts.links,
            group_config: group_config(config),
            controller: controller::Config {
                replace_after: config.cluster.replace_after,
                ..controller::Config::default()
            },
            hosting: parts.hosting,
            seed: self.identity.process,
            on_fault: Arc::new(move |_, fault| on_fault.raise(&format_args!("catalog: {fault}"))),
        })
        .await
        .context(
            "this node's copy of the catalog cannot be recovered; restore a backup, or empty the data directory and let \
             the node join anew",
        )?;
        self.formation.admit_by(meta.clone());
        tokio::spawn(keep_addresses(
            self.addresses.clone(),
            self.formation.whereabouts(),
            meta.catalog(),
        ));
        Ok(meta)
    }
}

fn describe(config: &Config, data: &DataDir, place: &Place) -> Join {
    let listens = place.peers.as_ref().map(|it| it.address.clone());
    let listed = || config.listed().map(|peer| peer.address.clone());
    let advertised = config.cluster.advertise.0.clone();
    // The port that was really taken counts where the address only says "any".
    let peers = advertised
        .or_else(listed)
        .filter(|it| it.port != 0)
        .or(listens);
    Join {
        directory: data.identity().directory,
        name: config.node_name().into(),
        addresses: Addresses {
            peers: peers.map_or_else(String::new, |it| it.to_string()).into(),
            clients: place.clients.to_string().into(),
        },
        zone: config.cluster.zone.0.clone().map(Into::into),
    }
}

fn peers(config: &Config) -> Vec<Peer> {
    let peers = config.cluster.peers.iter().map(|peer| Peer {
        name: peer.name.as_str().into(),
        address: peer.address.to_string().into(),
    });
    peers.collect()
}

/// Says now and then what a node waits for.
async fn tell(formation: Formation) {
    let standing = formation.status();
    loop {
        tokio::time::sleep(PATIENCE).await;
        let standing = standing.borrow().to_string();
        tracing::info!(standing, "not yet a member of a cluster");
    }
}

/// Writes down where nodes are: as the catalog says, or where they were found before there was one. Returns when the
/// node stops.
async fn keep_addresses(
    book: AddressBook,
    mut found: watch::Receiver<BTreeMap<NodeId, Box<str>>>,
    mut catalog: watch::Receiver<Option<Arc<Catalog>>>,
) {
    loop {
        let mut nodes: BTreeMap<NodeId, String> = BTreeMap::new();
        if let Some(catalog) = &*catalog.borrow_and_update() {
            let members = catalog.members.present();
            let known =
                members.map(|(node, member)| (node, member.described.addresses.peers.to_string()));
            nodes.extend(known.filter(|(_, address)| !address.is_empty()));
        }
        for (node, address) in found.borrow_and_update().iter() {
            nodes.entry(*node).or_insert_with(|| address.to_string());
        }
        for (node, address) in nodes {
            book.set(node, Some(address));
        }
        tokio::select! {
            changed = catalog.changed() => if changed.is_err() { return },
            Ok(()) = found.changed() => {}
        }
    }
}

/// A node that stays alone asks nobody.
struct NoWay;

fn nobody<T>() -> BoxFuture<'static, Result<T, CallFailure>>
where
    T: Send + 'static,
{
    let failure = CallFailure::Unreachable("this node does not listen for others".to_owned());
    std::future::ready(Err(failure)).boxed()
}

impl Way for NoWay {
    fn describe(&self, _: &str) -> BoxFuture<'static, Result<Description, CallFailure>> {
        nobody()
    }

    fn invite(&self, _: &str, _: Invitation) -> BoxFuture<'static, Result<(), CallFailure>> {
        nobody()
    }

    fn join(&self, _: &str, _: Join) -> BoxFuture<'static, Result<Admitted, CallFailure>> {
        nobody()
    }
}

/// With what this node founds its cluster, should it be the one that does.
fn founding(config: &Config, randomness: &dyn Randomness) -> anyhow::Result<Founding> {
    let partitions = u16::try_from(config.cluster.partitions)
        .ok()
        .and_then(PartitionCount::new);
    let mut founding = Founding {
        cluster_id: [0; 16],
        partitions: partitions.context("cluster.partitions is not a power of two")?,
        replicas: u8::try_from(config.cluster.replicas).context("cluster.replicas")?,
        token_key: [0; 32],
    };
    randomness.fill(&mut founding.cluster_id);
    randomness.fill(&mut founding.token_key);
    Ok(founding)
}

fn security(config: &Config) -> Security {
    match &config.cluster.tls.0 {
        Some(tls) => Security::Tls(TlsFiles {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            authorities: tls.authorities.clone(),
            name: tls.name.clone(),
            check_interval: CERTIFICATES_CHECK,
        }),
        None if config.cluster.plaintext => Security::PlainText,
        None => Security::PlainTextOnLoopback,
    }
}

/// Nodes find each other at one address.
fn first_socket(listeners: Listeners) -> anyhow::Result<TcpListener> {
    let mut sockets = listeners.sockets.into_iter();
    sockets.next().context("listen.peers has no address")
}

/// What the meta group is put together from.
pub(crate) struct MetaParts {
    pub(crate) log: GroupLog,
    pub(crate) network: Network,
    pub(crate) links: Arc<dyn Links>,
    pub(crate) hosting: Arc<dyn Hosting>,
}

/// Waits until it is decided where partitions are, which is the last step of forming a cluster.
///
/// # Errors
/// The catalog's replica has stopped.
pub(crate) async fn placed(
    catalog: &mut watch::Receiver<Arc<Catalog>>,
) -> anyhow::Result<Arc<Catalog>> {
    let is_placed = |catalog: &Arc<Catalog>| catalog.plans.iter().all(|it| !it.voters.is_empty());
    loop {
        match tokio::time::timeout(PATIENCE, catalog.wait_for(is_placed)).await {
            Ok(placed) => return Ok(placed.context("the catalog's replica has stopped")?.clone()),
            Err(_) => tracing::warn!("waiting for the partitions to be placed on nodes"),
        }
    }
}

/// Waits until the catalog has come.
pub(crate) async fn first_catalog(meta: &Meta) -> anyhow::Result<watch::Receiver<Arc<Catalog>>> {
    let mut copy = meta.catalog();
    let first = loop {
        let come = tokio::time::timeout(PATIENCE, copy.wait_for(Option::is_some)).await;
        match come {
            Ok(come) => break come.context("the catalog's replica has stopped")?.clone(),
            Err(_) => tracing::warn!("waiting for a majority of the cluster's first nodes"),
        }
    };
    let (sender, catalog) = watch::channel(first.expect("just seen"));
    tokio::spawn(async move {
        while copy.changed().await.is_ok() {
            let newest = copy.borrow_and_update().clone();
            let Some(newest) = newest else { continue };
            if sender.send(newest).is_err() {
                return;
            }
        }
    });
    Ok(catalog)
}

/// Who belongs to the cluster, and every change of it.
pub(crate) fn members(
    catalog: &watch::Receiver<Arc<Catalog>>,
) -> watch::Receiver<BTreeSet<NodeId>> {
    let of = |catalog: &Catalog| catalog.members.present().map(|(node, _)| node).collect();
    let mut catalog = catalog.clone();
    let (sender, members) = watch::channel(of(&catalog.borrow_and_update()));
    tokio::spawn(async move {
        while catalog.changed().await.is_ok() {
            let newest: BTreeSet<NodeId> = of(&catalog.borrow_and_update());
            sender.send_if_modified(|known| {
                let changed = *known != newest;
                *known = newest;
                changed
            });
        }
    });
    members
}

/// Where the replicas of each partition are, the one that should lead first.
pub(crate) fn replicas(catalog: &watch::Receiver<Arc<Catalog>>) -> longhaul_routing::Replicas {
    let catalog = catalog.clone();
    Arc::new(move |partition: PartitionId| {
        let catalog = catalog.borrow();
        let plan = catalog.plans.get(usize::from(partition.0));
        let Some(plan) = plan else { return Vec::new() };
        let mut nodes = plan.voters.clone();
        nodes.sort_by_key(|node| plan.wanted.iter().position(|it| it == node));
        nodes
    })
}

/// What the cluster decides about task hubs.
pub(crate) struct CatalogDecisions {
    meta: Meta,
    catalog: watch::Receiver<Arc<Catalog>>,
}

impl CatalogDecisions {
    pub(crate) fn new(meta: Meta, catalog: watch::Receiver<Arc<Catalog>>) -> Self {
        Self { meta, catalog }
    }
}

impl Decisions for CatalogDecisions {
    fn decide(&self, command: Command) -> BoxFuture<'static, Result<Reply, String>> {
        let meta = self.meta.clone();
        async move {
            meta.propose(command)
                .await
                .map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn catalog(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalog.clone()
    }

    fn newest(&self) -> BoxFuture<'static, Result<Arc<Catalog>, String>> {
        let meta = self.meta.clone();
        async move { meta.read().await.map_err(|error| error.to_string()) }.boxed()
    }
}
