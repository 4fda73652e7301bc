//! The arguments of `longhaul bench run`.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    thread::available_parallelism,
    time::Duration,
};

use clap::Args;

use super::scenario::Scenario;
use crate::bench::{orchestrators::Plan, output::Output, target::TargetArgs};

/// Connections are added for each so many calls in flight; servers often allow 100 to 200 on one.
const CALLS_PER_CONNECTION: usize = 128;
const WORKER_SLOTS_MIN: u32 = 100;

/// Arguments of `longhaul bench run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What one orchestration does
    #[arg(value_enum)]
    pub(super) scenario: Scenario,

    /// How many steps: activities, children, timers, events or calls; fixed for hello, hello5 and entity-signals
    #[arg(value_name = "N")]
    count: Option<usize>,

    /// N by another name
    #[arg(
        long,
        visible_alias = "width",
        value_name = "N",
        conflicts_with = "count"
    )]
    steps: Option<usize>,

    #[command(flatten)]
    pub(super) target: TargetArgs,

    /// Orchestrations in flight; in an open loop, at most so many
    #[arg(short, long, default_value = "64")]
    pub(super) concurrency: NonZeroUsize,

    /// Open loop: start so many a second whether or not earlier ones have finished; latency counts from then
    #[arg(short, long, value_name = "PER_SECOND", value_parser = positive_rate)]
    pub(super) rate: Option<f64>,

    /// Stop after so many orchestrations instead of after a time, and without a warm-up
    #[arg(
        long,
        value_name = "COUNT",
        conflicts_with_all = ["rate", "duration", "warmup", "worker_only"]
    )]
    pub(super) orchestrations: Option<NonZeroUsize>,

    /// How many entities share the signals or calls; by default one for signals, and for calls as many as orchestrations
    /// in flight
    #[arg(long, value_name = "COUNT")]
    entities: Option<NonZeroUsize>,

    /// How long to measure
    #[arg(short, long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub(super) duration: Duration,

    /// How long to load before measuring
    #[arg(short, long, default_value = "3s", value_parser = humantime::parse_duration)]
    pub(super) warmup: Duration,

    /// An orchestration that takes longer is an error; also how long entities may take to catch up in the end
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub(super) timeout: Duration,

    /// Added to the input of every orchestration and to input and result of every step
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    pub(super) payload_bytes: usize,

    /// How long each timer of the scenario `timers` runs
    #[arg(long, default_value = "10ms", value_parser = humantime::parse_duration)]
    pub(super) timer_delay: Duration,

    /// Only start and await orchestrations; workers run elsewhere with --worker-only
    #[arg(long, conflicts_with = "worker_only")]
    pub(super) no_worker: bool,

    /// Only host the scenarios' code, until interrupted
    #[arg(long)]
    pub(super) worker_only: bool,

    /// Connections of the client; by default one for each 128 in flight
    #[arg(long)]
    pub(super) connections: Option<NonZeroUsize>,

    /// Connections of the worker
    #[arg(long, default_value = "1")]
    pub(super) worker_connections: NonZeroUsize,

    /// Work items of each kind that the worker takes at a time; by default as many as orchestrations in flight
    #[arg(long)]
    pub(super) worker_slots: Option<NonZeroU32>,

    /// Threads of this process; by default one for every two cores, since the server shares them
    #[arg(long)]
    threads: Option<NonZeroUsize>,

    /// How long to measure the unit of cost, an empty gRPC call; 0s skips it
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    pub(super) unit_duration: Duration,

    /// The form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

impl RunArgs {
    /// What each orchestration is told.
    pub(super) fn plan(&self) -> Plan<'static> {
        Plan {
            count: self.scenario.count(self.count.or(self.steps)),
            delay_ms: u32::try_from(self.timer_delay.as_millis()).unwrap_or(u32::MAX),
            payload: ".".repeat(self.payload_bytes).into(),
            ..Plan::default()
        }
    }

    /// Orchestrations in flight.
    pub(super) fn runners(&self) -> NonZeroUsize {
        self.orchestrations
            .map_or(self.concurrency, |count| count.min(self.concurrency))
    }

    /// How many calls in flight come nearest to the load's.
    pub(super) fn calls_in_flight(&self) -> NonZeroUsize {
        let slots = usize::try_from(self.worker_slots().get()).unwrap_or(usize::MAX);
        let steps = self.scenario.steps_at_once(self.plan().count).min(slots);
        let runners = self.runners();
        runners.max(NonZeroUsize::new(steps).unwrap_or(runners))
    }

    /// How many entities the load uses.
    pub(super) fn entities(&self) -> usize {
        self.scenario.entities(self.entities, self.runners())
    }

    /// Threads for client and worker together.
    pub(in crate::bench) fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(threads_default)
    }

    pub(super) fn client_connections(&self) -> NonZeroUsize {
        self.connections_for(self.concurrency)
    }

    /// Connections for `in_flight` calls at a time.
    pub(super) fn connections_for(&self, in_flight: NonZeroUsize) -> NonZeroUsize {
        let enough = in_flight.get().div_ceil(CALLS_PER_CONNECTION);
        self.connections
            .or(NonZeroUsize::new(enough))
            .unwrap_or(NonZeroUsize::MIN)
    }

    pub(super) fn worker_slots(&self) -> NonZeroU32 {
        let concurrency = u32::try_from(self.concurrency.get()).unwrap_or(u32::MAX);
        self.worker_slots
            .or(NonZeroU32::new(concurrency.max(WORKER_SLOTS_MIN)))
            .unwrap_or(NonZeroU32::MIN)
    }
}

/// One for every two cores, since the server shares them.
pub(in crate::bench) fn threads_default() -> NonZeroUsize {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(cores / 2).unwrap_or(NonZeroUsize::MIN)
}

pub(in crate::bench) fn positive_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("a rate is a number above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    fn parse(line: &str) -> Result<RunArgs, String> {
        Cli::try_parse_from(line.split(' '))
            .map(|cli| cli.run)
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn lines() {
        let run = parse("run hello5 --concurrency 256 --duration 30s --output json")
            .expect("it is well-formed");
        assert_eq!(
            (run.plan().count, run.duration, run.output),
            (5, Duration::from_secs(30), Output::Json)
        );
        assert_eq!(
            (run.client_connections().get(), run.worker_slots().get()),
            (2, 256)
        );

        let run =
            parse("run fanout 40 -c 1 --rate 12.5 --payload-bytes 3").expect("it is well-formed");
        assert_eq!(
            (run.plan().count, run.rate, &*run.plan().payload),
            (40, Some(12.5), "...")
        );
        assert_eq!(
            (run.client_connections().get(), run.worker_slots().get()),
            (1, 100)
        );
    }

    #[test]
    fn a_fixed_number_of_wide_orchestrations() {
        let run = parse("run fanout --width 10000 --orchestrations 1").expect("it is well-formed");
        assert_eq!(run.plan().count, 10_000);
        assert_eq!(
            (run.runners().get(), run.calls_in_flight().get()),
            (1, 100),
            "as many as the worker takes at a time"
        );
        let run = parse("run sequence --steps 7 --orchestrations 300").expect("it is well-formed");
        assert_eq!(
            (
                run.plan().count,
                run.runners().get(),
                run.calls_in_flight().get()
            ),
            (7, 64, 64)
        );
    }

    #[test]
    fn entities_by_scenario() {
        for (line, entities) in [
            ("run hello5 --entities 3", 0),
            ("run entity-signals", 1),
            ("run entity-signals --entities 3", 3),
            ("run entity-calls -c 8", 8),
            ("run entity-calls 2 -c 8 --entities 3", 3),
        ] {
            assert_eq!(parse(line).expect(line).entities(), entities, "{line}");
        }
        let signals = parse("run entity-signals 9").expect("it is well-formed");
        assert_eq!(signals.plan().count, 1, "a signal is one step");
    }

    #[test]
    fn refusals() {
        for (line, says) in [
            ("run nothing", "possible values"),
            ("run hello5 --rate 0", "a rate is a number above 0"),
            ("run hello5 --concurrency 0", "concurrency"),
            ("run hello5 --duration soon", "duration"),
            ("run fanout 3 --width 4", "cannot be used with"),
            (
                "run hello5 --orchestrations 4 --duration 3s",
                "cannot be used with",
            ),
            ("run hello5 --orchestrations 0", "orchestrations"),
            (
                "run hello5 --no-worker --worker-only",
                "cannot be used with",
            ),
        ] {
            let refusal = parse(line).expect_err(line);
            assert!(refusal.contains(says), "{line}: {refusal}");
        }
    }
}
