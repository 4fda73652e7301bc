//! One node: its start in order, and its end in the same order backwards.
//!
//! ```text
//! start   ports bound ─► data directory locked ─► probes answer ─► log and state recovered ─► gRPC served ─► ready
//! stop    not ready ─► nothing handed out ─► workers finish (grace) ─► streams end, GOAWAY ─► last checkpoint ─► log closed
//! ```

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use longhaul_partition::{Clock, Randomness, SystemClock, SystemRandomness};
use longhaul_types::{HubName, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Config, Loaded, Origin, SHUTDOWN_GRACE_MAX};
use crate::data_dir::{DataDir, Fresh, hex};
use crate::fault::FaultHandler;
use crate::grpc::{GrpcServer, Services, side_routes};
use crate::http::{self, About, Formed, Pages};
use crate::hubs::{HubRegistry, ageing, removal};
use crate::listen::{ListenAddress, ListenError, Listeners, Purpose, Reserved};
use crate::membership::Place;
use crate::readiness::{self, Readiness};
use crate::telemetry::gauges::NodeGauges;
use crate::telemetry::metrics::MetricsPage;
use crate::wiring::{self, Hosted, Stopping, Surroundings};

/// Where SDK clients without a connection string look for a server. Source: the defaults of all four SDKs.
const PLAIN_GRPC_PORT: u16 = 4001;

/// How long clients may take to go away after GOAWAY.
const GOAWAY_PATIENCE: Duration = Duration::from_millis(500);
/// How long other nodes may take to lead what this one has led.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(2);
/// How long the last checkpoint may take; without it, the next start only reads more of the log.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(1);
const _: () = assert!(
    HANDOVER_PATIENCE.as_millis() < SHUTDOWN_GRACE_MAX.as_millis()
        && SHUTDOWN_GRACE_MAX.as_millis()
            + GOAWAY_PATIENCE.as_millis()
            + CHECKPOINT_PATIENCE.as_millis()
            < 10_000,
    "a node ends within 10 s"
);

/// How long a start waits for leaders of its partitions.
const LEADERS_PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks whether workers have finished.
const GRACE_POLL: Duration = Duration::from_millis(10);

/// What a node is started with.
pub struct NodeSetup {
    /// Valid values.
    pub config: Config,
    /// Where the data is kept.
    pub data: DataPlace,
    /// Who insists on the number of partitions, so that a cluster with another one is refused.
    pub partitions_insisted_by: Option<String>,
    /// Whether clients without a connection string find this node too, if nothing else is where they look.
    pub plain_grpc: PlainGrpc,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and tokens.
    pub randomness: Arc<dyn Randomness>,
    /// What happens when storage fails.
    pub on_fault: FaultHandler,
    /// Where metrics are rendered.
    pub metrics: MetricsPage,
}

/// Where a node keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataPlace {
    /// In the configured directory.
    Configured,
    /// In a temporary directory, never synced and deleted at the end.
    Ephemeral,
}

/// Whether gRPC is served on the SDKs' default port too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainGrpc {
    /// On that port, if it is free.
    IfFree,
    /// No.
    Off,
}

impl NodeSetup {
    /// A node of this machine, with the loaded values, that aborts the process on a fault.
    ///
    /// # Errors
    /// The process's metrics are taken.
    pub fn of_machine(
        loaded: &Loaded,
        data: DataPlace,
        plain_grpc: PlainGrpc,
    ) -> anyhow::Result<Self> {
        let partitions_insisted_by = match loaded.origin("cluster.partitions") {
            Origin::Default => None,
            origin => Some(format!("cluster.partitions ({origin})")),
        };
        Ok(Self {
            config: loaded.config.clone(),
            data,
            partitions_insisted_by,
            plain_grpc,
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness::default()),
            on_fault: FaultHandler::abort(),
            metrics: MetricsPage::of_process()?,
        })
    }
}

/// A node that serves.
pub struct Node {
    ports: Ports,
    about: About,
    hubs: Arc<HubRegistry>,
    readiness: Readiness,
    /// Keeps it to what the node can do.
    watching: AbortOnDropHandle<()>,
    stopping: Stopping,
    grpc: GrpcServer,
    hosted: Hosted,
    /// Removes what deleted hubs held.
    /// What goes on as long as the node: removing deleted hubs, purging what has aged.
    background: [AbortOnDropHandle<()>; 2],
    http: HttpServers,
    shutdown_grace: Duration,
    /// Dropped last: until then, nobody else may use the directory.
    data: DataDir,
}

/// The ports of a node, as they were really taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// gRPC for SDKs.
    pub grpc: ListenAddress,
    /// Other nodes.
    pub peers: Option<ListenAddress>,
    /// gRPC on the SDKs' default port.
    pub plain_grpc: Option<u16>,
    /// Status page, probes and metrics.
    pub dashboard: Option<ListenAddress>,
    /// Probes and metrics alone.
    pub metrics: Option<ListenAddress>,
}

impl Node {
    /// Starts a node; it serves when this returns.
    ///
    /// # Errors
    /// A port is taken, the data directory is refused, or its content cannot be recovered. Nothing runs then.
    pub async fn start(setup: NodeSetup) -> anyhow::Result<Self> {
        let began = Instant::now();
        let NodeSetup {
            config,
            clock,
            randomness,
            on_fault,
            ..
        } = &setup;
        let bound = Bound::bind(config, setup.plain_grpc).await?;
        let ports = bound.ports();
        let mut data = open_data(&setup)?;
        let (reporter, health) = tonic_health::server::health_reporter();
        let about = about(&ports, &data, config, setup.data);
        let readiness = Readiness::new(reporter).await;
        let gauges = Arc::new(OnceLock::new());
        let pages = Pages {
            readiness: readiness.clone(),
            metrics: setup.metrics.clone(),
            gauges: gauges.clone(),
            about: about.clone(),
        };
        let Served {
            grpc: reserved,
            peers,
            http,
        } = bound.serve_http(pages);

        let surroundings = Surroundings {
            clock: clock.clone(),
            randomness: randomness.clone(),
            on_fault: on_fault.clone(),
        };
        let place = Place {
            peers,
            clients: ports.grpc.clone(),
        };
        let hosted = Hosted::start(config, &mut data, place, &surroundings).await?;
        check_partitions(&hosted, &setup)?;
        let founding = hosted.founding();
        let formed = about.formed.get_or_init(|| Formed {
            cluster: hex(&founding.cluster_id),
            partitions: founding.partitions.get(),
        });
        let hubs = Arc::new(wiring::hubs(config, &hosted).await?);
        gauges.get_or_init(|| NodeGauges::register(&hosted.partitions, &hosted.wal));
        let removing = AbortOnDropHandle::new(tokio::spawn(removal::run(
            hubs.clone(),
            {
                let leadership = hosted.meta.leadership();
                move || leadership.borrow().is_leader
            },
            {
                let router = hosted.router.clone();
                move |hub| {
                    let router = router.clone();
                    async move { router.remove_hub(hub).await }
                }
            },
        )));
        let ageing = AbortOnDropHandle::new(tokio::spawn(ageing::run(hubs.clone(), {
            let partitions = hosted.partitions.clone();
            move |hub, policy| {
                let partitions = partitions.clone();
                async move { partitions.purge_aged(hub, &policy).await }
            }
        })));
        let stopping = Stopping::default();
        let service = wiring::service(
            config,
            &hosted.router,
            hubs.clone(),
            &surroundings,
            stopping.clone(),
        )?;
        let others = side_routes(
            health,
            http::probes(readiness.clone()).merge(hosted.admin(&data, &surroundings)),
        )?;
        let mut grpc_sockets = Vec::new();
        for reserved in reserved {
            grpc_sockets.extend(reserved.listen()?.sockets);
        }
        let grpc = GrpcServer::start(grpc_sockets, Services::new(service, others), &config.grpc);
        // Calls are answered, or held, from now on; a start waits for those who answer them at once.
        let led = tokio::time::timeout(LEADERS_PATIENCE, hosted.wait_for_leaders()).await;
        readiness.set(led.is_ok()).await;
        let watching = AbortOnDropHandle::new(tokio::spawn(readiness::keep(
            readiness.clone(),
            hosted.router.clone(),
            hosted.partitions.clone(),
        )));
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            grpc = %ports.grpc,
            data = %data.path().display(),
            cluster = formed.cluster,
            partitions = formed.partitions,
            after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "{}",
            match led {
                Ok(()) => "ready",
                Err(_) => "started, but some partitions have no leader; are enough other nodes up?",
            }
        );
        warn_if_open(&ports);
        Ok(Self {
            ports,
            about,
            hubs,
            readiness,
            watching,
            stopping,
            grpc,
            hosted,
            background: [removing, ageing],
            http,
            shutdown_grace: config.node.shutdown_grace,
            data,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// What its status page says.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The task hubs there are.
    #[must_use]
    pub fn hubs(&self) -> Vec<HubName> {
        self.hubs.list().into_iter().map(|(_, name)| name).collect()
    }

    /// Ends it within 10 s: workers may finish what they hold, everything acknowledged is durable.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.watching.abort();
        // Only then does nobody make it ready again.
        let _ = self.watching.await;
        self.readiness.set(false).await;
        self.stopping.draining.cancel();
        let sessions = self.hosted.partitions.sessions().clone();
        sessions.drain();
        let finished = async {
            while sessions.out() > 0 {
                tokio::time::sleep(GRACE_POLL).await;
            }
        };
        // What is led elsewhere is not missed when this node ends.
        let handed_over = tokio::time::timeout(HANDOVER_PATIENCE, self.hosted.hand_over());
        let finished = tokio::time::timeout(self.shutdown_grace, finished);
        let (handed_over, finished) = tokio::join!(handed_over, finished);
        if handed_over.is_err() {
            tracing::info!("some partitions are led from here to the end");
        }
        if finished.is_err() {
            tracing::info!(
                work_items = sessions.out(),
                "workers have not finished; what they hold is offered again"
            );
        }
        self.stopping.grace_over.cancel();
        self.grpc.stop(GOAWAY_PATIENCE).await;
        for job in &self.background {
            job.abort();
        }
        // Only then has it let go of the partitions. What it has not finished, the next start goes on with.
        for job in self.background {
            let _ = job.await;
        }
        if tokio::time::timeout(CHECKPOINT_PATIENCE, self.hosted.stop())
            .await
            .is_err()
        {
            tracing::info!("stopped before the last checkpoint was written; the log has it all");
        }
        self.http.stop().await;
        drop(self.data);
        tracing::info!("stopped");
    }
}

/// The sockets of a node, before anything is served on them.
struct Bound {
    /// Nobody is answered before the node is a member of its cluster, which may take a while.
    grpc: Reserved,
    peers: Option<Listeners>,
    plain_grpc: Option<Reserved>,
    dashboard: Option<Listeners>,
    metrics: Option<Listeners>,
}

impl Bound {
    async fn bind(config: &Config, plain_grpc: PlainGrpc) -> Result<Self, ListenError> {
        let listen = &config.listen;
        let grpc = Reserved::bind(
            &listen.grpc,
            Purpose {
                key: "listen.grpc",
                hint: "--port (0 picks a free one)",
            },
        )?;
        let dashboard = bind_optional(
            listen.dashboard.as_ref(),
            Purpose {
                key: "listen.dashboard",
                hint: "--dashboard-port (0 picks a free one)",
            },
        )
        .await?;
        let metrics = bind_optional(
            listen.metrics.as_ref(),
            Purpose {
                key: "listen.metrics",
                hint: "--metrics-port (0 picks a free one)",
            },
        )
        .await?;
        let peers = bind_optional(
            config.peers_address().as_ref(),
            Purpose {
                key: "listen.peers",
                hint: "listen.peers",
            },
        )
        .await?;
        let plain_grpc = match plain_grpc {
            PlainGrpc::IfFree => bind_plain(&listen.grpc.host),
            PlainGrpc::Off => None,
        };
        Ok(Self {
            grpc,
            peers,
            plain_grpc,
            dashboard,
            metrics,
        })
    }

    fn ports(&self) -> Ports {
        let address = |listeners: &Option<Listeners>| Some(listeners.as_ref()?.address.clone());
        Ports {
            grpc: self.grpc.address.clone(),
            peers: address(&self.peers),
            plain_grpc: self.plain_grpc.as_ref().map(|it| it.address.port),
            dashboard: address(&self.dashboard),
            metrics: address(&self.metrics),
        }
    }

    /// Serves HTTP, and hands out the other sockets.
    fn serve_http(self, pages: Pages) -> Served {
        let stopped = CancellationToken::new();
        let serve = |listeners: Listeners, routes| {
            let stopped = stopped.clone();
            tokio::spawn(http::serve(listeners.sockets, routes, stopped))
        };
        let mut jobs = Vec::new();
        if let Some(listeners) = self.dashboard {
            jobs.push(serve(listeners, http::dashboard_routes(pages.clone())));
        }
        if let Some(listeners) = self.metrics {
            jobs.push(serve(listeners, http::metrics_routes(pages)));
        }
        Served {
            grpc: std::iter::once(self.grpc).chain(self.plain_grpc).collect(),
            peers: self.peers,
            http: HttpServers { jobs, stopped },
        }
    }
}

/// HTTP that is served, and sockets on which nothing is yet.
struct Served {
    grpc: Vec<Reserved>,
    peers: Option<Listeners>,
    http: HttpServers,
}

async fn bind_optional(
    address: Option<&ListenAddress>,
    purpose: Purpose,
) -> Result<Option<Listeners>, ListenError> {
    match address {
        Some(address) => Listeners::bind(address, purpose).await.map(Some),
        None => Ok(None),
    }
}

fn bind_plain(host: &str) -> Option<Reserved> {
    let address = ListenAddress {
        host: host.to_owned(),
        port: PLAIN_GRPC_PORT,
    };
    let purpose = Purpose {
        key: "listen.grpc",
        hint: "--port",
    };
    let bound = Reserved::bind(&address, purpose);
    bound
        .inspect_err(
            |error| tracing::debug!(%error, "the port of plain gRPC clients is left alone"),
        )
        .ok()
}

/// The jobs that serve HTTP; they end when this is dropped.
struct HttpServers {
    jobs: Vec<JoinHandle<()>>,
    stopped: CancellationToken,
}

impl HttpServers {
    /// Stops listening and returns when the ports are free.
    async fn stop(mut self) {
        self.stopped.cancel();
        for job in std::mem::take(&mut self.jobs) {
            // A panic was logged when it happened.
            let _ = job.await;
        }
    }
}

impl Drop for HttpServers {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

fn open_data(setup: &NodeSetup) -> anyhow::Result<DataDir> {
    let mut fresh = Fresh {
        directory: [0; 16],
        now: system_time(setup.clock.now()),
    };
    setup.randomness.fill(&mut fresh.directory);
    Ok(match setup.data {
        DataPlace::Configured => DataDir::open(&setup.config.node.data_dir, fresh)?,
        DataPlace::Ephemeral => DataDir::ephemeral(fresh)?,
    })
}

/// The number of partitions never changes: whoever asks for another one is told so.
fn check_partitions(hosted: &Hosted, setup: &NodeSetup) -> anyhow::Result<()> {
    let formed = hosted.founding().partitions.get();
    let asked = setup.config.cluster.partitions;
    match &setup.partitions_insisted_by {
        Some(by) if u32::from(formed) != asked => anyhow::bail!(
            "the cluster was formed with {formed} partitions, but {by} asks for {asked}; the number never changes, so \
             drop the setting or choose another data directory with --data"
        ),
        _ => Ok(()),
    }
}

fn system_time(now: Timestamp) -> SystemTime {
    UNIX_EPOCH + now.since(Timestamp::EPOCH)
}

fn about(ports: &Ports, data: &DataDir, config: &Config, place: DataPlace) -> About {
    let hub = config
        .hubs
        .create
        .first()
        .map_or("default", HubName::as_str);
    About {
        connection_string: format!(
            "Endpoint=http://{}:{};TaskHub={hub};Authentication=None",
            ports.grpc.client_host(),
            ports.grpc.port
        ),
        data_dir: match place {
            DataPlace::Configured => Some(PathBuf::from(data.path())),
            DataPlace::Ephemeral => None,
        },
        formed: Arc::default(),
    }
}

fn warn_if_open(ports: &Ports) {
    if !ports.grpc.is_loopback() {
        tracing::warn!(
            grpc = %ports.grpc,
            "calls are not authenticated: whoever reaches this port can start, read and change everything"
        );
    }
}
