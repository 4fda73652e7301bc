//! A run: builds the lab, lets one fault after the other happen to it under load, and judges what was seen.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    args::{Agenda, Rounds, RunArgs},
    dice::Dice,
    faults::{Expects, Fault, Hits},
    lab::{Lab, Plan},
    record::Record,
    recovery::longest_gap,
    report::{self, Outcome},
    scene::{Round, Scene},
    service::Service,
    verdict,
    workers::{Kind, Workers},
    workload::{Shared, Size, Workload, gather::gather, pulses::Pulse},
};

/// A cluster that forms, and a workload that begins, take longer than anything after.
const WARM_WITHIN: Duration = Duration::from_secs(60);
/// Whatever a fault did is over by so long after it has healed.
const RECOVERS_WITHIN: Duration = Duration::from_secs(60);
/// Whatever clients began has ended by so long after the last fault.
const ENDS_WITHIN: Duration = Duration::from_secs(90);
/// No round takes longer; one that does has got stuck.
const ROUND_WITHIN: Duration = Duration::from_secs(300);
/// What was lost is not waited for any longer.
const LOST_WITHIN: Duration = Duration::from_secs(5);
const PAUSE_MS: std::ops::RangeInclusive<u64> = 300..=1_500;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const ACCOUNTS: usize = 6;
/// Violations of one promise that are shown.
const SHOWN: usize = 3;
/// What must have been acknowledged for each round, or the run would prove nothing.
const ACKNOWLEDGED_EACH: usize = 5;

/// Does all that was asked for; true if nothing is wrong.
///
/// # Errors
/// If it cannot be done at all, or was interrupted. Whatever was made is gone then, too.
pub async fn run(args: &RunArgs) -> Result<bool> {
    let (mut interrupted, mut ended) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    tokio::select! {
        outcome = everything(args) => outcome,
        _ = interrupted.recv() => bail!("interrupted"),
        _ = ended.recv() => bail!("told to end"),
    }
}

async fn everything(args: &RunArgs) -> Result<bool> {
    let agenda = args.agenda()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seed = args.seed.unwrap_or(u64::from(now.subsec_micros()));
    ensure!(args.bin.is_file(), "there is no {}", args.bin.display());
    ensure!(
        args.nodes > 0 && args.workers > 0 && args.pulses > 0,
        "there is nothing of some"
    );
    println!("{} nodes, seed {seed}", args.nodes);
    let mut lab = formed(args).await?;
    let mut outcomes = Vec::new();
    for (nth, fault) in agenda.faults.iter().enumerate() {
        if let Some(why) = fault.impossible(&lab) {
            ensure!(!agenda.by_name, "{}: {why}", fault.id);
            outcomes.push(Outcome {
                impossible: Some(why),
                ..of(fault)
            });
            continue;
        }
        println!("{}: {}", fault.id, fault.what);
        let phase = Phase {
            args,
            agenda: &agenda,
            fault,
            seed,
        };
        let (outcome, after) = phase.run(lab).await?;
        lab = after;
        let broken = !outcome.violations.is_empty();
        outcomes.push(outcome);
        if broken {
            let logs = args.keep.join(fault.id);
            lab.keep_logs(&logs)?;
            println!("logs are in {}", logs.display());
        }
        let is_last = nth + 1 == agenda.faults.len();
        if !is_last && (broken || fault.expects == Expects::Broken) {
            // Whatever is wrong by now would be held against the next fault.
            drop(lab);
            lab = formed(args).await?;
        }
    }
    let all_happened = outcomes.iter().any(|outcome| outcome.rounds > 0);
    println!("{}", report::shown(&outcomes));
    ensure!(all_happened, "no fault has happened");
    Ok(outcomes.iter().all(|outcome| outcome.violations.is_empty()))
}

/// A lab whose nodes are ready.
async fn formed(args: &RunArgs) -> Result<Lab> {
    let began = Instant::now();
    let mut lab = Lab::build(&Plan {
        binary: args.bin.canonicalize()?,
        nodes: args.nodes,
        partitions: args.partitions,
        plain: args.plain,
    })?;
    if let Err(failure) = lab.start_all().await {
        lab.keep_logs(&args.keep)?;
        return Err(failure);
    }
    println!("run {} is ready after {:.1?}", lab.id(), began.elapsed());
    Ok(lab)
}

fn of(fault: &Fault) -> Outcome {
    Outcome {
        id: fault.id.to_owned(),
        what: fault.what.to_owned(),
        ..Outcome::default()
    }
}

/// One fault's share of a run.
struct Phase<'a> {
    args: &'a RunArgs,
    agenda: &'a Agenda,
    fault: &'static Fault,
    seed: u64,
}

impl Phase<'_> {
    async fn run(&self, lab: Lab) -> Result<(Outcome, Lab)> {
        let mut scene = self.set(lab).await?;
        let mut outcome = of(self.fault);
        let rounds = match self.all_rounds(&mut scene, &mut outcome).await {
            Ok(()) => Ok(()),
            Err(failure) => {
                outcome.violations.push(format!("{failure:#}"));
                Err(())
            }
        };
        if rounds.is_ok() {
            self.judge(&mut scene, &mut outcome).await;
        }
        if self.fault.expects == Expects::Broken {
            outcome.violations = missed(&outcome.violations);
        }
        let Scene { lab, .. } = scene;
        Ok((outcome, lab))
    }

    /// Workers and clients at work.
    async fn set(&self, lab: Lab) -> Result<Scene> {
        let addresses: Vec<Ipv4Addr> = lab.nodes.iter().map(|node| node.address()).collect();
        let service = Service::start(&addresses);
        let name = self.fault.id.to_lowercase();
        let file = |kind: &str| lab.directory().join(format!("{name}-{kind}"));
        let mut workers = Workers::none(
            Arc::clone(&service),
            file("effects.jsonl"),
            file("workers.log"),
        );
        for _ in 0..self.args.workers {
            workers.start(Kind::Ordinary).await?;
        }
        let workload = Workload::start(Shared {
            prefix: format!("{name}-{}", lab.id()),
            seed: self.seed,
            size: Size {
                drivers: self.args.drivers,
                pulses: self.args.pulses,
                accounts: ACCOUNTS,
            },
            ends_within: match self.fault.expects {
                Expects::Kept => ENDS_WITHIN,
                Expects::Broken => LOST_WITHIN,
            },
            tolerates: self.fault.tolerates,
            began: Instant::now(),
            service,
            errors: Arc::default(),
            seen: parking_lot::Mutex::default(),
            completions: Pulse::default(),
            stop: CancellationToken::new(),
        })
        .await?;
        Ok(Scene {
            lab,
            workers,
            workload,
            dice: Dice::new(self.seed, self.fault.id),
            brief: self.agenda.brief,
        })
    }

    async fn all_rounds(&self, scene: &mut Scene, outcome: &mut Outcome) -> Result<()> {
        let began = Instant::now();
        recovered(scene, Duration::ZERO, WARM_WITHIN)
            .await
            .context("before any fault")?;
        loop {
            let done = match self.agenda.rounds {
                _ if self.fault.expects == Expects::Broken => outcome.rounds > 0,
                Rounds::Count(count) => outcome.rounds >= count as usize,
                Rounds::Within(time) => outcome.rounds > 0 && began.elapsed() > time,
            };
            if done {
                break;
            }
            sleep(scene.dice.millis(PAUSE_MS)).await;
            let number = outcome.rounds + 1;
            let round = timeout(ROUND_WITHIN, (self.fault.round)(scene)).await;
            let round = round
                .unwrap_or_else(|_| bail!("it is not over after {ROUND_WITHIN:?}"))
                .with_context(|| format!("round {number}"))?;
            if self.fault.expects == Expects::Kept {
                recovered(scene, round.healed, RECOVERS_WITHIN)
                    .await
                    .with_context(|| format!("round {number}, {}", round.what))?;
            }
            outcome.rounds = number;
            self.measure(scene, &round, outcome);
        }
        let wanted = ACKNOWLEDGED_EACH * outcome.rounds;
        let acknowledged = scene.workload.acknowledged();
        ensure!(
            acknowledged >= wanted,
            "only {acknowledged} calls were acknowledged"
        );
        Ok(())
    }

    fn measure(&self, scene: &Scene, round: &Round, outcome: &mut Outcome) {
        let gap = |pulse: &Pulse| longest_gap(&pulse.times(), round.began, round.healed);
        let pulses = &scene.workload.pulses;
        let hit = |pulse: &Pulse| match pulse.node_before(round.began) {
            Some(node) => round.victims.contains(&node),
            None => true,
        };
        let (victims, others): (Vec<_>, Vec<_>) = pulses.iter().partition(|pulse| hit(pulse));
        let longest = |of: &[&Arc<Pulse>]| of.iter().filter_map(|pulse| gap(pulse)).max();
        let (at_victims, elsewhere) = (longest(&victims), longest(&others));
        let recovery = match self.fault.hits {
            Hits::Nodes => elsewhere.or(at_victims),
            Hits::Workers => gap(&scene.workload.shared.completions),
        };
        outcome.recoveries.extend(recovery);
        outcome.at_victims.extend(at_victims);
        let shown = |gap: Option<Duration>| gap.map_or("-".into(), |gap| format!("{gap:.2?}"));
        println!(
            "  round {}: {}; nothing for {}, at who was hit for {}",
            outcome.rounds,
            round.what,
            shown(recovery),
            shown(at_victims)
        );
    }

    async fn judge(&self, scene: &mut Scene, outcome: &mut Outcome) {
        scene.workload.finish().await;
        {
            let mut errors = scene.workload.shared.errors.lock();
            outcome.hidden = errors.hidden.values().sum();
            outcome.visible = std::mem::take(&mut errors.visible);
        }
        let nodes = scene.lab.nodes.len();
        let gathered = gather(&scene.workload.shared, nodes, scene.workers.ledger()).await;
        let record = match gathered {
            Ok(record) => record,
            Err(failure) => return outcome.violations.push(format!("{failure:#}")),
        };
        outcome.looked_at = looked_at(&record);
        for (promise, broken) in verdict::broken(&record) {
            let shown = broken.iter().take(SHOWN).map(String::as_str);
            let shown: Vec<&str> = shown.collect();
            let more = broken.len() - shown.len();
            let violation = format!("{}: {}; {more} more", promise.says, shown.join("; "));
            outcome.violations.push(violation);
        }
        if self.fault.hidden && nodes > 1 && !outcome.visible.is_empty() {
            let visible = &outcome.visible;
            outcome
                .violations
                .push(format!("callers saw errors: {visible:?}"));
        }
    }
}

/// What the verdict should have noticed and did not, where everything was lost.
fn missed(violations: &[String]) -> Vec<String> {
    let noticed = violations
        .iter()
        .any(|violation| violation.starts_with(verdict::NO_START_LOST));
    let missed = (!noticed).then(|| format!("lost starts were not noticed, only {violations:?}"));
    missed.into_iter().collect()
}

/// Waits until every counter gets events again.
async fn recovered(scene: &Scene, since: Duration, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    loop {
        let pulses = &scene.workload.pulses;
        let silent = pulses.iter().filter(|pulse| !pulse.beats_since(since));
        let silent = silent.count();
        if silent == 0 && scene.workload.shared.completions.beats_since(since) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "after {within:?}, {silent} of {} counters get no events, orchestrations complete: {}",
            pulses.len(),
            scene.workload.shared.completions.beats_since(since)
        );
        sleep(LOOK_EVERY).await;
    }
}

fn looked_at(record: &Record) -> usize {
    record.instances.len() + record.children.len() + record.raised.len() + record.signals.len()
}
