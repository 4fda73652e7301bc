//! Runs the commands of a transcript.
//!
//! ```text
//! partitions 2                                      before anything else; 1 if left out
//! at +5s                                            time passes
//! create ID NAME [input= version= start=+5s tags=a:1 execution= fingerprint= trace= reuse=none|A,B]
//! raise ID EVENT [input=]      suspend ID [reason=]      resume ID [reason=]      terminate ID [output=] [recurse]
//! rewind ID [reason= execution=]   restart ID [execution=]   force ID [reason=]
//! purge ID [completed=-5s]     remove ID…
//! take ID [as=TURN]                                 hands out a turn
//! answer TURN|ID [custom= trace= processed=]        the worker's actions follow, indented; can be said twice
//! turn ID …                                         both
//! activity ID SEQ [result=|failure=Type:text] [execution=]
//! fire ID SEQ… [execution=]    fire due             timers
//! signal @E@K OPERATION [request= input= due=+5s]   the request is called like the operation if it is not said
//! take-batch @E@K [as=BATCH]                        hands out a batch
//! answer-batch BATCH|@E@K [failure=] [stateless]    what came of it follows, indented; can be said twice
//! batch @E@K …                                      both
//! give-up BATCH|@E@K failure=Type:text
//! release @E@K SEQ…            release due          operations
//! expire @E@K…                 expire due           records of entities
//! ship FROM TO [first=] [count=]   ack FROM TO [through=]   settle
//! show ID      outstanding
//! ```
//!
//! Execution ids read `e1`, `e2`, … in the order in which they were given out, and `d1`, `d2`, … if they were derived
//! from others.

use std::collections::BTreeMap;

use longhaul_engine::batch::{Batch, Verdict, give_up};
use longhaul_engine::command::{DueOperation, DueTimer};
use longhaul_engine::dispatch::Turn;
use longhaul_engine::effects::Outcome;
use longhaul_engine::turn::Answer;
use longhaul_engine::{Command, Entity, InstanceKey, outstanding};

use super::actions::action;
use super::batches::batch_answer;
use super::commands::command;
use super::difference::{created, difference};
use super::line::{Line, moment};
use super::render;
use super::rows::{self, Row};
use crate::support::{
    Cluster, decode, decode_framed, event_text, failure, failure_text, time_text,
};

/// The partitions of one transcript, and what is out.
pub(crate) struct Stage {
    cluster: Cluster,
    turns: BTreeMap<String, Turn>,
    batches: BTreeMap<String, Batch>,
    /// Execution ids that the engine derived, in the order in which they were seen.
    derived: Vec<String>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            cluster: Cluster::new(1),
            turns: BTreeMap::new(),
            batches: BTreeMap::new(),
            derived: Vec::new(),
        }
    }

    /// Runs one command and says what it brought about.
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
            "take-batch" => self.take_batch(line),
            "batch" => format!(
                "{}{}",
                self.take_batch(line),
                self.answer_batch(line, actions)
            ),
            "answer-batch" => self.answer_batch(line, actions),
            "give-up" => self.give_up(line),
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
            "release" if line.word(1) == "due" => {
                let due = self.due_operations();
                self.observed(|cluster| {
                    for (home, operations) in due {
                        cluster.apply(home, Command::ReleaseOperations(operations));
                    }
                    None
                })
            }
            "expire" if line.word(1) == "due" => {
                let due = self.expired();
                self.observed(|cluster| {
                    for (home, keys) in due {
                        cluster.apply(home, Command::ExpireEntities(keys));
                    }
                    None
                })
            }
            "show" => self.show(line.word(1)),
            "outstanding" => self.outstanding(),
            _ => {
                let key = Cluster::key(line.word(1));
                let home = self.cluster.home(&key);
                let command = command(&mut self.cluster, line, key);
                self.observed(|cluster| Some(cluster.apply(home, command)))
            }
        }
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
        let past = turn
            .past
            .inline()
            .iter()
            .flat_map(|run| decode_framed(run.clone()));
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

    fn take_batch(&mut self, line: &Line) -> String {
        let id = line.word(1);
        let Some(batch) = self.cluster.take_batch(id) else {
            return "no batch\n".to_owned();
        };
        let state = batch.state.as_deref().map(String::from_utf8_lossy);
        let state = state.map_or("no state".to_owned(), |it| format!("state {it}"));
        let mut out = format!("batch {} of {id}, {state}\n", batch.context.batch);
        let events = batch.events.iter().map(|event| event_text(&decode(event)));
        out.extend(events.map(|event| format!("  do {event}\n")));
        let name = line.get("as").unwrap_or(id).to_owned();
        self.batches.insert(name, batch);
        out
    }

    fn answer_batch(&mut self, line: &Line, results: &[&str]) -> String {
        let Some(batch) = self.batches.get(line.word(1)).cloned() else {
            return "no such batch is out\n".to_owned();
        };
        let answer = batch_answer(line, results, self.cluster.now);
        match self.cluster.judge(&batch.context, answer) {
            Verdict::Commit(complete) => self.apply(Command::CompleteBatch(complete), &batch),
            Verdict::Again => "again at once\n".to_owned(),
            Verdict::Later(reason) => {
                let reason = reason.map(|it| format!(": {}", failure_text(&failure(&it))));
                format!("again later{}\n", reason.unwrap_or_default())
            }
        }
    }

    fn give_up(&mut self, line: &Line) -> String {
        let Some(batch) = self.batches.get(line.word(1)).cloned() else {
            return "no such batch is out\n".to_owned();
        };
        let failure = line.failure().expect("failure=Type:text");
        let complete = give_up(&batch.context, &failure, self.cluster.now);
        self.apply(Command::CompleteBatch(Box::new(complete)), &batch)
    }

    fn apply(&mut self, command: Command, batch: &Batch) -> String {
        let home = self.cluster.home(&batch.context.key);
        self.observed(|cluster| Some(cluster.apply(home, command)))
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

    /// Every scheduled operation that is due, by partition.
    fn due_operations(&self) -> BTreeMap<usize, Vec<DueOperation>> {
        self.of_entities(|key, entity| {
            let due = entity.scheduled.iter();
            let due = due.filter(|(_, it)| it.due <= self.cluster.now);
            let due = due.map(|(seq, _)| DueOperation {
                key: key.clone(),
                seq: *seq,
            });
            due.collect()
        })
    }

    /// Every entity whose record may go, by partition.
    fn expired(&self) -> BTreeMap<usize, Vec<InstanceKey>> {
        self.of_entities(|key, entity| {
            let goes = entity.may_go(self.cluster.now);
            if goes { vec![key.clone()] } else { Vec::new() }
        })
    }

    fn of_entities<T>(
        &self,
        find: impl Fn(&InstanceKey, &Entity) -> Vec<T>,
    ) -> BTreeMap<usize, Vec<T>> {
        let mut found: BTreeMap<usize, Vec<T>> = BTreeMap::new();
        for (home, tables) in self.cluster.partitions.iter().enumerate() {
            for (key, entity) in &tables.entities {
                found.entry(home).or_default().extend(find(key, entity));
            }
        }
        found.retain(|_, it| !it.is_empty());
        found
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
            .flat_map(rows::rows)
            .collect()
    }

    fn ids_to_names(&mut self, text: &str) -> String {
        let mut out = String::new();
        for piece in text.split_inclusive(is_separator) {
            let word = piece.trim_end_matches(is_separator);
            out.push_str(&self.id_to_name(word).unwrap_or_else(|| word.to_owned()));
            out.push_str(&piece[word.len()..]);
        }
        out
    }

    fn id_to_name(&mut self, word: &str) -> Option<String> {
        let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if word.len() != 32 || !word.chars().all(is_digit) {
            return None;
        }
        let number = u128::from_str_radix(word, 16).expect("hex digits");
        if (1..=self.cluster.executions()).contains(&number) {
            return Some(format!("e{number}"));
        }
        let known = self.derived.iter().position(|it| it == word);
        let index = known.unwrap_or_else(|| {
            self.derived.push(word.to_owned());
            self.derived.len() - 1
        });
        Some(format!("d{}", index + 1))
    }

    /// `e1` and `e1:0001`, where they stand alone, mean the id and what is derived from it.
    fn names_to_ids(&self, text: &str) -> String {
        let mut out = String::new();
        for piece in text.split_inclusive(is_separator) {
            let word = piece.trim_end_matches(is_separator);
            let id = self.name_to_id(word).unwrap_or_else(|| word.to_owned());
            out.push_str(&id);
            out.push_str(&piece[word.len()..]);
        }
        out
    }

    fn name_to_id(&self, word: &str) -> Option<String> {
        let number = |digits: &str| digits.parse::<u128>().ok();
        if let Some(number) = word.strip_prefix('e').and_then(number) {
            let known = (1..=self.cluster.executions()).contains(&number);
            return known.then(|| format!("{number:032x}"));
        }
        let number = word.strip_prefix('d').and_then(number)?;
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.derived.get(index).cloned()
    }
}

fn is_separator(c: char) -> bool {
    !c.is_ascii_alphanumeric()
}
