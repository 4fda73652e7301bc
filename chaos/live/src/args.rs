//! The command line of a run.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Args;

use crate::faults::{FAULTS, Fault};

/// Faults that a short run looks at, for every change.
const SHORT: [&str; 4] = ["K1", "K5", "N1", "R1"];
const SHORT_ROUNDS: u32 = 3;
const DEFAULT_ROUNDS: u32 = 10;

/// Arguments of a run.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Faults by name, in this order; `all`, or `short` for a minute of the most telling ones
    #[arg(required = true)]
    faults: Vec<String>,

    /// Rounds of each fault [default: 10; with --minutes, as many as fit]
    #[arg(long)]
    rounds: Option<u32>,

    /// Time for all faults together, each with its share
    #[arg(long)]
    minutes: Option<u64>,

    /// The `longhaul` binary
    #[arg(long, env = "LONGHAUL_BIN")]
    pub bin: PathBuf,

    /// Nodes of the cluster
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,

    /// Partitions of the cluster
    #[arg(long, default_value_t = 8)]
    pub partitions: u32,

    /// Worker processes
    #[arg(long, default_value_t = 2)]
    pub workers: usize,

    /// Orchestrations at a time
    #[arg(long, default_value_t = 6)]
    pub drivers: usize,

    /// Counters that get one event after the other
    #[arg(long, default_value_t = 6)]
    pub pulses: usize,

    /// Repeats the choices of a run, though not its timing [default: from the clock]
    #[arg(long)]
    pub seed: Option<u64>,

    /// Shorter pauses: a first look rather than a proof
    #[arg(long)]
    brief: bool,

    /// Neither namespaces nor disks of their own, even where they can be had
    #[arg(long)]
    pub plain: bool,

    /// Where logs are kept when something is wrong
    #[arg(long, default_value = "chaos-logs")]
    pub keep: PathBuf,
}

/// How long to go on with one fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounds {
    /// So often.
    Count(u32),
    /// As often as fits, once at least.
    Within(Duration),
}

/// What to do.
#[derive(Debug)]
pub struct Agenda {
    /// The faults.
    pub faults: Vec<&'static Fault>,
    /// How much of each.
    pub rounds: Rounds,
    /// Whether rounds are to be short.
    pub brief: bool,
    /// Whether each of them was asked for by name, and must be possible.
    pub by_name: bool,
}

impl RunArgs {
    /// What the arguments ask for.
    ///
    /// # Errors
    /// If there is no fault of some name.
    pub fn agenda(&self) -> Result<Agenda> {
        let (names, short, by_name): (Vec<&str>, bool, bool) =
            match self.faults.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["all"] => (FAULTS.iter().map(|fault| fault.id).collect(), false, false),
                ["short"] => (SHORT.to_vec(), true, false),
                ref names => (names.to_vec(), false, true),
            };
        let faults: Vec<_> = names
            .into_iter()
            .map(|name| Fault::find(name).with_context(|| format!("there is no fault {name}")))
            .collect::<Result<_>>()?;
        let share = |minutes: u64| {
            let all = Duration::from_secs(60 * minutes);
            all / u32::try_from(faults.len()).unwrap_or(u32::MAX)
        };
        let rounds = match (self.rounds, self.minutes) {
            (Some(rounds), _) => Rounds::Count(rounds),
            (None, Some(minutes)) => Rounds::Within(share(minutes)),
            (None, None) if short => Rounds::Count(SHORT_ROUNDS),
            (None, None) => Rounds::Count(DEFAULT_ROUNDS),
        };
        Ok(Agenda {
            faults,
            rounds,
            brief: self.brief || short,
            by_name,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    fn agenda(line: &str) -> Result<Agenda> {
        let words = ["chaos", "--bin", "longhaul"]
            .into_iter()
            .chain(line.split(' '));
        Line::try_parse_from(words)?.run.agenda()
    }

    #[test]
    fn faults_are_named_or_all_or_a_few() {
        let some = agenda("k1 W3 --rounds 4").expect("valid");
        let names: Vec<&str> = some.faults.iter().map(|fault| fault.id).collect();
        assert_eq!((names, some.rounds), (vec!["K1", "W3"], Rounds::Count(4)));
        assert!(some.by_name && !some.brief);
        let all = agenda("all --minutes 20").expect("valid");
        assert_eq!(all.faults.len(), FAULTS.len());
        let Rounds::Within(share) = all.rounds else {
            panic!("{:?}", all.rounds);
        };
        assert_eq!((share * 22).as_secs_f64().round(), 1_200.0);
        let short = agenda("short").expect("valid");
        assert_eq!(short.faults.len(), SHORT.len());
        assert!(short.brief && !short.by_name);
        assert!(agenda("K99").is_err());
    }
}
