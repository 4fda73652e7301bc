//! `longhaul bench stored`: whether a node with many stored instances is slower than an empty one.
//!
//! ```text
//!                         hello5 alone     hello5, while one client lists and one looks up
//! empty node              empty            empty_queried    (over a thousand instances)
//! node full of instances  stored           stored_queried
//! ```
//!
//! The two nodes are measured in turns, round after round, so that what happens to the machine happens to both; the report
//! is about the round in the middle.
//!
//! Most of the instances ended with their first turn, the others wait for an event that never comes. Whatever is listed or
//! looked up is checked.

mod gets;
mod observer;
mod pages;
mod random;
mod report;
mod store;

use std::{
    num::{NonZeroU32, NonZeroUsize},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use longhaul_client::{
    Client, Endpoint, Worker,
    worker::{History, Slots},
};
use tokio::{runtime, task::spawn_blocking, time::sleep};

use super::{
    load::{
        Figures, Load, Pace, Run, Scenario, Units, Usage, Window, drive, positive_rate,
        threads_default,
    },
    orchestrators::{self, Plan},
    output::Output,
    process::Process,
    target::{ScratchArgs, ScratchServer, Stop},
};
use gets::Gets;
use observer::{Calls, repeat};
use pages::Pages;
pub use report::Report;
use report::{Phase, Phases};
use store::{Store, Stored, WORKER_SLOTS};

const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(2).expect("two is not zero");
/// Stored on the node that is called empty, so that queries find something.
const FEW: usize = 1_000;

/// Arguments of `longhaul bench stored`.
#[derive(Debug, Args)]
pub struct StoredArgs {
    /// How many instances are stored
    #[arg(long, default_value = "1000000", value_name = "N")]
    instances: NonZeroUsize,

    /// How many of them wait for an event that never comes; the others have ended
    #[arg(long, default_value = "100000", value_name = "N")]
    live: usize,

    /// Added to the input of each of them
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    payload_bytes: usize,

    /// hello5 orchestrations in flight
    #[arg(short, long, default_value = "256")]
    concurrency: NonZeroUsize,

    /// hello5 orchestrations started a second, in flight or not, instead of as many as the server can take
    #[arg(short, long, value_name = "PER_SECOND", value_parser = positive_rate)]
    rate: Option<f64>,

    /// How long to measure, four times in each round
    #[arg(short, long, default_value = "20s", value_parser = humantime::parse_duration)]
    duration: Duration,

    /// How often the nodes are measured in turns
    #[arg(long, default_value = "3")]
    rounds: NonZeroUsize,

    /// How long to load before each measurement
    #[arg(short, long, default_value = "5s", value_parser = humantime::parse_duration)]
    warmup: Duration,

    /// How long the server may settle once all are stored
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    settle: Duration,

    /// An orchestration or a call that takes longer is an error
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    /// Instances asked for with each page
    #[arg(long, default_value = "100", value_name = "N")]
    page_size: NonZeroU32,

    /// Pages read a second, or one after the other if that is slower
    #[arg(long, default_value = "10", value_name = "RATE", value_parser = positive_rate)]
    pages_per_s: f64,

    /// Instances looked up a second, or one after the other if that is slower
    #[arg(long, default_value = "100", value_name = "RATE", value_parser = positive_rate)]
    gets_per_s: f64,

    /// How long to measure the unit of cost, an empty gRPC call, around each measurement; 0s skips it
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    unit_duration: Duration,

    /// Threads of this process but for the two that query; by default one for every two cores, since the server shares
    /// them
    #[arg(long)]
    threads: Option<NonZeroUsize>,

    #[command(flatten)]
    scratch: ScratchArgs,

    /// The form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl StoredArgs {
    /// Threads for client and worker together.
    pub(super) fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(threads_default)
    }
}

pub(super) async fn run(args: StoredArgs) -> anyhow::Result<ExitCode> {
    let (count, live) = (args.instances.get(), args.live);
    ensure!(
        live <= count,
        "--live {live} is more than --instances {count}"
    );
    let mut empty_server = ScratchServer::create(&args.scratch)?;
    let mut full_server = ScratchServer::create(&args.scratch)?;
    empty_server.start().await?;
    full_server.start().await?;
    let empty = Bench::start(&args, &empty_server).await?;
    let full = Bench::start(&args, &full_server).await?;
    let rss_empty_bytes = full.process.and_then(Process::rss_bytes);
    let store = Store::new(count, live, args.payload_bytes);
    let few = empty.fill(&store, 0..count.min(FEW)).await?;

    eprintln!("storing {count} instances, {live} of them waiting");
    let begun = Instant::now();
    let all = full.fill(&store, 0..count).await?;
    let stored_in = begun.elapsed();
    sleep(args.settle).await;
    let rss_stored_bytes = full.process.and_then(Process::rss_bytes);
    let data_bytes = full_server.data_bytes();
    eprintln!("listing all of them");
    let counted = all.count(&full.client).await?;

    let mut rounds = Vec::new();
    for round in 1..=args.rounds.get() {
        eprintln!("round {round} of {}", args.rounds);
        rounds.push(Phases {
            empty: empty.measure("an empty node", None).await?,
            stored: full.measure("the full node", None).await?,
            empty_queried: empty
                .measure("an empty node with queries", Some(&few))
                .await?,
            stored_queried: full
                .measure("the full node with queries", Some(&all))
                .await?,
        });
    }
    for (bench, server) in [(empty, &mut empty_server), (full, &mut full_server)] {
        bench.worker.stop().await;
        server.stop(Stop::Gracefully).await?;
    }

    let sizes = report::Sizes {
        counted,
        stored_in,
        rss_empty_bytes,
        rss_stored_bytes,
        data_bytes,
    };
    let report = Report::of(&args, sizes, rounds);
    args.output.print(&report, Report::rows)?;
    Ok(match report.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

struct Bench<'a> {
    args: &'a StoredArgs,
    endpoint: Endpoint,
    process: Option<Process>,
    client: Client,
    worker: Worker,
    units: Units,
}

impl<'a> Bench<'a> {
    async fn start(args: &'a StoredArgs, server: &ScratchServer) -> anyhow::Result<Self> {
        let endpoint = server.endpoint()?;
        let slots = WORKER_SLOTS.max(
            u32::try_from(args.concurrency.get())
                .ok()
                .and_then(NonZeroU32::new)
                .unwrap_or(NonZeroU32::MAX),
        );
        Ok(Self {
            args,
            process: server.process(),
            client: Client::connect_many(&endpoint, CONNECTIONS).await?,
            worker: Worker::start(
                Client::connect(&endpoint).await?,
                orchestrators::registry(),
                Slots::of_each(slots),
                History::Streamed,
            ),
            units: Units::start(args.unit_duration, args.concurrency, CONNECTIONS).await?,
            endpoint,
        })
    }

    async fn fill(
        &self,
        store: &Store,
        range: std::ops::Range<usize>,
    ) -> anyhow::Result<Arc<Stored>> {
        let filled = store.fill(range, &self.client, &self.worker, self.args.timeout);
        Ok(Arc::new(filled.await?))
    }

    /// hello5 with the unit around it, and with queries beside it if there is something to query.
    async fn measure(&self, what: &str, queried: Option<&Arc<Stored>>) -> anyhow::Result<Phase> {
        let StoredArgs {
            duration, warmup, ..
        } = *self.args;
        eprintln!("measuring hello5 on {what} for {duration:?} after {warmup:?} of warm-up");
        let first = self.units.measure().await?;
        let plan = Plan {
            count: 5,
            ..Plan::default()
        };
        let run = Run::new(
            self.client.clone(),
            Scenario::Hello5,
            plan,
            0,
            self.args.timeout,
        );
        let window = Window::starting_now(warmup, duration);
        let load = Load {
            pace: match self.args.rate {
                Some(rate) => Pace::open(window, rate),
                None => Pace::closed(window),
            },
            runners: self.args.concurrency,
            drain_max: self.args.timeout,
        };
        let driven = drive(
            load,
            || run.runner(),
            || Usage::read(self.process, Some(&self.worker)),
        );
        let (readings, queries) = tokio::join!(driven, self.query(window, queried));
        let (pages, gets) = queries?;
        let unit = first.plus(self.units.measure().await?);
        Ok(Phase::of(
            &Figures::of(&readings),
            unit.report(),
            pages,
            gets,
        ))
    }

    async fn query(
        &self,
        window: Window,
        queried: Option<&Arc<Stored>>,
    ) -> anyhow::Result<(Option<Calls>, Option<Calls>)> {
        let Some(stored) = queried else {
            return Ok((None, None));
        };
        let StoredArgs {
            pages_per_s,
            gets_per_s,
            timeout,
            page_size,
            ..
        } = *self.args;
        let page_size = i32::try_from(page_size.get()).unwrap_or(i32::MAX);
        let (to_list, to_get) = (Arc::clone(stored), Arc::clone(stored));
        let pages = self.apart(async move |client| {
            let mut pages = Pages::new(client, to_list, page_size, timeout);
            repeat(window, pages_per_s, async || pages.read_next().await).await
        });
        let gets = self.apart(async move |client| {
            let mut gets = Gets::new(client, to_get, timeout);
            repeat(window, gets_per_s, async || gets.read_next().await).await
        });
        let (pages, gets) = tokio::try_join!(pages, gets)?;
        Ok((Some(pages.report()), Some(gets.report())))
    }

    /// Runs a caller on a thread and a connection of its own, where the load's jobs do not keep it waiting.
    async fn apart<T: Send + 'static>(
        &self,
        caller: impl AsyncFnOnce(Client) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let endpoint = self.endpoint.clone();
        let thread = spawn_blocking(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async { Ok(caller(Client::connect(&endpoint).await?).await) })
        });
        thread.await.context("a caller panicked")?
    }
}
