//! Runs the commands of a transcript.
//!
//! ```text
//! partitions 2                                      before anything else; 1 if left out
//! at +5s                                            time passes
//! create ID NAME [input= version= start=+5s tags=a:1 execution= fingerprint= trace= reuse=none|A,B]
//! raise ID EVENT [input=]      suspend ID [reason=]      resume ID [reason=]      terminate ID [output=] [recurse]
//! take ID [as=TURN]                                 hands out a turn
//! answer TURN|ID [custom= trace= processed=]        the worker's actions follow, indented; can be said twice
//! turn ID …                                         both
//! activity ID SEQ [result=|failure=Type:text] [execution=]
//! fire ID SEQ… [execution=]    fire due             timers
//! ship FROM TO [first=] [count=]   ack FROM TO [through=]   settle
//! show ID      outstanding
//! ```

use std::collections::BTreeMap;

use longhaul_engine::command::{CreateInstance, DueTimer, ReusePolicy};
use longhaul_engine::dispatch::Turn;
use longhaul_engine::effects::Outcome;
use longhaul_engine::history::event;
use longhaul_engine::message::Creation;
use longhaul_engine::turn::Answer;
use longhaul_engine::{Command, InstanceKey, outstanding};
use longhaul_types::ExecutionId;

use super::actions::action;
use super::difference::{created, difference};
use super::line::{Line, moment, status};
use super::render::{self, Row};
use crate::support::{Cluster, decode, decode_framed, event_text, time_text};

/// The partitions of one transcript and the turns that are out.
pub(crate) struct Stage {
    cluster: Cluster,
    turns: BTreeMap<String, Turn>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            cluster: Cluster::new(1),
            turns: BTreeMap::new(),
        }
    }

    /// Runs one command and says what it brought about.
    ///
    /// Execution ids read `e1`, `e2`, … in the order in which they were given out.
    pub(crate) fn run(&mut self, command: &str) -> String {
        let command = self.names_to_ids(command);
        let mut lines = command.lines();
        let line = Line::parse(lines.next().expect("a command"));
        let result = self.dispatch(&line, &lines.collect::<Vec<_>>());
        self.ids_to_names(&result)
    }

    fn dispatch(&mut self, line: &Line, actions: &[&str]) -> String {
        match line.word(0) {
            "partitions" => {
                self.cluster = Cluster::new(line.number(1));
                String::new()
            }
            "at" => {
                self.cluster.now = moment(line.word(1), self.cluster.now);
                String::new()
            }
            "take" => self.take(line),
            "turn" => format!("{}{}", self.take(line), self.answer(line, actions)),
            "answer" => self.answer(line, actions),
            "settle" => self.observed(|cluster| {
                cluster.settle();
                None
            }),
            "ship" => {
                let (from, to) = (line.number(1), line.number(2));
                let next = self.cluster.received(from, to) + 1;
                let first = line.get_number("first").unwrap_or(next);
                let count = line.get_number("count").unwrap_or(100);
                self.observed(|cluster| Some(cluster.ship(from, to, first, count)))
            }
            "ack" => {
                let (from, to) = (line.number(1), line.number(2));
                let received = self.cluster.received(from, to);
                let through = line.get_number("through").unwrap_or(received);
                self.observed(|cluster| Some(cluster.ack(from, to, through)))
            }
            "fire" if line.word(1) == "due" => {
                let due = self.due();
                self.observed(|cluster| {
                    for (home, timers) in due {
                        cluster.apply(home, Command::FireTimers(timers));
                    }
                    None
                })
            }
            "show" => self.show(line.word(1)),
            "outstanding" => self.outstanding(),
            _ => {
                let key = Cluster::key(line.word(1));
                let command = self.command(line, &key);
                let home = self.cluster.home(&key);
                self.observed(|cluster| Some(cluster.apply(home, command)))
            }
        }
    }

    fn command(&mut self, line: &Line, key: &InstanceKey) -> Command {
        let key = key.clone();
        match line.word(0) {
            "create" => self.create(line, key),
            "raise" => {
                let input = line.bytes("input");
                let event = event::event_raised(self.cluster.now, line.word(2), input.as_deref());
                Command::RaiseEvent { key, event }
            }
            "suspend" => Command::Suspend {
                key,
                reason: line.bytes("reason"),
            },
            "resume" => Command::Resume {
                key,
                reason: line.bytes("reason"),
            },
            "terminate" => Command::Terminate {
                key,
                output: line.bytes("output"),
                recurse: line.has("recurse"),
            },
            "activity" => self.activity(line, key),
            "fire" => {
                let execution = self.execution(line, &key);
                let due = line.words_from(2).iter().map(|seq| DueTimer {
                    key: key.clone(),
                    execution: execution.clone(),
                    seq: seq.parse().expect("a number"),
                });
                Command::FireTimers(due.collect())
            }
            verb => panic!("{verb:?} is no command"),
        }
    }

    fn create(&mut self, line: &Line, key: InstanceKey) -> Command {
        let now = self.cluster.now;
        let fresh = self.cluster.creation(line.word(2));
        let tags = line.tags();
        let creation = Creation {
            execution: line
                .get("execution")
                .map_or(fresh.execution, ExecutionId::new),
            version: line.text("version").map(Into::into),
            input: line.bytes("input"),
            scheduled_start: line.get("start").map(|text| moment(text, now)),
            tags: (!tags.is_empty()).then(|| tags.into()),
            parent_trace: line.trace(),
            request_fingerprint: line.get_number("fingerprint").unwrap_or(0),
            ..fresh
        };
        let reuse = match line.get("reuse") {
            None => ReusePolicy::Default,
            Some("none") => ReusePolicy::Replace(Vec::new()),
            Some(list) => ReusePolicy::Replace(list.split(',').map(status).collect()),
        };
        Command::CreateInstance(Box::new(CreateInstance {
            key,
            creation,
            reuse,
        }))
    }

    fn activity(&mut self, line: &Line, key: InstanceKey) -> Command {
        let (now, seq) = (self.cluster.now, line.number(2));
        let home = self.cluster.home(&key);
        let activity = self.cluster.partitions[home]
            .instances
            .get(&key)
            .and_then(|instance| instance.activities.get(&seq));
        let task_id = activity.map_or(0, |it| it.task_id);
        let execution = match (line.get("execution"), activity) {
            (None, Some(activity)) => activity.execution.clone(),
            _ => self.execution(line, &key),
        };
        let event = match line.failure() {
            Some(details) => event::task_failed(now, task_id, &details),
            None => event::task_completed(now, task_id, line.bytes("result").as_deref()),
        };
        Command::CompleteActivity {
            key,
            execution,
            seq,
            event,
        }
    }

    fn execution(&self, line: &Line, key: &InstanceKey) -> ExecutionId {
        line.get("execution").map_or_else(
            || self.cluster.live(key.id.as_str()).execution.clone(),
            ExecutionId::new,
        )
    }

    fn take(&mut self, line: &Line) -> String {
        let id = line.word(1);
        let Some(turn) = self.cluster.take(id) else {
            return "no turn\n".to_owned();
        };
        let context = &turn.context;
        let mut out = format!(
            "turn {} of {} at {}\n",
            context.turn,
            context.execution,
            time_text(context.started_at)
        );
        let past = turn.past.iter().flat_map(|run| decode_framed(run.clone()));
        out.extend(past.map(|event| format!("  past {}\n", event_text(&event))));
        let new = turn.new.iter().map(|event| event_text(&decode(event)));
        out.extend(new.map(|event| format!("  new {event}\n")));
        if let Some(trace) = &turn.trace {
            out.push_str(&format!("  trace {}\n", String::from_utf8_lossy(trace)));
        }
        self.turns
            .insert(line.get("as").unwrap_or(id).to_owned(), turn);
        out
    }

    fn answer(&mut self, line: &Line, actions: &[&str]) -> String {
        let Some(turn) = self.turns.get(line.word(1)).cloned() else {
            return "no such turn is out\n".to_owned();
        };
        let now = self.cluster.now;
        let answer = Answer {
            actions: actions.iter().map(|text| action(text, now)).collect(),
            custom_status: line.bytes("custom"),
            trace: line.bytes("trace"),
            events_processed: line.get_number("processed"),
        };
        self.observed(|cluster| Some(cluster.answer(&turn, answer)))
    }

    /// Every timer that is due, by partition.
    fn due(&self) -> BTreeMap<usize, Vec<DueTimer>> {
        let mut due: BTreeMap<usize, Vec<DueTimer>> = BTreeMap::new();
        for (home, tables) in self.cluster.partitions.iter().enumerate() {
            for (key, instance) in &tables.instances {
                let timers = instance.timers.iter();
                let timers = timers.filter(|(_, timer)| timer.fire_at <= self.cluster.now);
                due.entry(home)
                    .or_default()
                    .extend(timers.map(|(seq, _)| DueTimer {
                        key: key.clone(),
                        execution: instance.execution.clone(),
                        seq: *seq,
                    }));
            }
        }
        due.retain(|_, timers| !timers.is_empty());
        due
    }

    fn show(&self, id: &str) -> String {
        let rows = self.rows();
        let row = rows.iter().find(|row| row.name == id);
        row.map_or_else(
            || format!("{id} does not exist\n"),
            |row| format!("{id}\n{}", created(row)),
        )
    }

    /// What a new leader of each partition would find to do, asked for page by page.
    fn outstanding(&mut self) -> String {
        let (now, mut out) = (self.cluster.now, String::new());
        for tables in &mut self.cluster.partitions {
            let mut after = None;
            loop {
                let page = outstanding(tables, after.as_ref(), 2, now).expect("readable");
                out.extend(
                    page.effects
                        .iter()
                        .map(|it| format!("! {}\n", render::effect(it))),
                );
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        out
    }

    /// Runs `act` and says what it answered and changed.
    fn observed(&mut self, act: impl FnOnce(&mut Cluster) -> Option<Outcome>) -> String {
        let before = self.rows();
        let outcome = act(&mut self.cluster);
        let mut out = String::new();
        if let Some(outcome) = outcome {
            out.push_str(&format!("{}\n", render::reply(&outcome.reply)));
            let effects = outcome.effects.iter();
            out.extend(effects.map(|effect| format!("! {}\n", render::effect(effect))));
        }
        out.push_str(&difference(&before, &self.rows()));
        out
    }

    fn rows(&self) -> Vec<Row> {
        self.cluster
            .partitions
            .iter()
            .flat_map(render::rows)
            .collect()
    }

    fn ids_to_names(&self, text: &str) -> String {
        let numbers = 1..=self.cluster.executions();
        numbers.fold(text.to_owned(), |text, number| {
            text.replace(&format!("{number:032x}"), &format!("e{number}"))
        })
    }

    /// `e1` and `e1:0001`, where they stand alone, mean the id and what is derived from it.
    fn names_to_ids(&self, text: &str) -> String {
        let is_end = |c: char| !c.is_ascii_alphanumeric();
        let mut out = String::new();
        for piece in text.split_inclusive(is_end) {
            let word = piece.trim_end_matches(is_end);
            let number = word
                .strip_prefix('e')
                .and_then(|it| it.parse::<u128>().ok());
            match number.filter(|it| (1..=self.cluster.executions()).contains(it)) {
                Some(number) => out.push_str(&format!("{number:032x}{}", &piece[word.len()..])),
                None => out.push_str(piece),
            }
        }
        out
    }
}
