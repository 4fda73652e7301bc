//! What a seed stands for: the node's settings, the faults in store for it, and the work it is given.

mod entities;

use std::time::Duration;

use crate::dice::Dice;
use crate::moment::Said;

/// Children of one instance.
pub const CHILDREN_MAX: u64 = 5;

/// Everything about a run that is decided before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Whether there is one node only.
    pub alone: bool,
    /// Partitions of all nodes together.
    pub partitions: u16,
    /// Processes that die before the last one.
    pub lives: u32,
    /// Parts per million by which the clock runs fast.
    pub drift_ppm: i64,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Batches after which the log's watermark is synced.
    pub watermark_batches: u32,
    /// Bytes of the log's cache.
    pub cache_bytes: u64,
    /// How often changed records go to storage.
    pub checkpoint_interval: Duration,
    /// Bytes of log after which storage is made durable.
    pub durable_checkpoint_bytes: u64,
    /// Bytes of instances kept in memory.
    pub resident_bytes_max: usize,
    /// Entries in flight.
    pub entries_in_flight_max: usize,
    /// Commands in an entry.
    pub entry_commands_max: usize,
    /// Bytes of waiting commands beyond which new work is refused.
    pub queue_bytes_max: usize,
    /// Longest sync of the disk, in milliseconds; most are shorter.
    pub sync_millis: u64,
    /// Chance of a worker to misbehave with an item, in percent.
    pub trouble: u64,
    /// Bytes by which results of activities are longer than need be: long histories are stored in pieces.
    pub padding: usize,
    /// What clients do.
    pub stories: Vec<Story>,
    /// The entities they use.
    pub entities: Vec<String>,
    /// How long ended instances stay in the end.
    pub retention: Duration,
}

/// What one client does, in order, whatever the node goes through.
#[derive(Clone, Debug)]
pub struct Story {
    /// The instance it is about.
    pub instance: String,
    /// When it begins, counted from the beginning of the run.
    pub begins: Duration,
    /// Not before the instance of this other story was started.
    pub after: Option<usize>,
    /// What it does.
    pub deed: Deed,
}

/// What a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Starts the instance and waits for its end.
    Run {
        /// What is started.
        input: String,
        /// How long after the start the first turn may be.
        delay: Option<Duration>,
    },
    /// The same; suspends and resumes it meanwhile.
    Pester {
        /// What is started.
        input: String,
    },
    /// The same; ends it early, with its children.
    End {
        /// What is started.
        input: String,
        /// First without asking it, if it is in no critical section.
        force: bool,
    },
    /// Raises events at an instance that another story starts.
    Tell {
        /// How many.
        events: u64,
    },
    /// Starts the same id again and again, whether it has ended or not.
    Replace {
        /// What is started.
        input: Numbered,
        /// How often.
        times: u64,
    },
    /// Starts the instance; rewinds it for as long as it fails.
    Rewind {
        /// What is started.
        input: String,
    },
    /// Starts the instance; restarts it whenever it has ended.
    Revive {
        /// What is started.
        input: String,
        /// How often.
        times: u64,
    },
    /// Starts the instance; purges it when it has ended.
    Purge {
        /// What is started.
        input: String,
    },
    /// Signals an entity.
    Signal {
        /// What it is told.
        sayings: Vec<Saying>,
    },
    /// Signals an entity and purges it, again and again.
    Wipe {
        /// How often.
        rounds: u64,
    },
    /// Reads which instances and entities there are.
    Query {
        /// How often.
        times: u64,
    },
}

/// A signal of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    /// What it says.
    pub said: Said,
    /// How long after it is sent for the first time it is due.
    pub delay: Option<Duration>,
}

/// An input for each of many starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numbered {
    /// The same every time.
    Always(String),
    /// With the number of the start behind it.
    Behind(String),
}

impl Numbered {
    /// The input of the nth start.
    #[must_use]
    pub fn at(&self, number: u64) -> String {
        match self {
            Self::Always(input) => input.clone(),
            Self::Behind(input) => format!("{input}{number}"),
        }
    }
}

impl Story {
    /// Whether the story is about an instance that it starts.
    #[must_use]
    pub fn starts_its_instance(&self) -> bool {
        !matches!(
            self.deed,
            Deed::Tell { .. } | Deed::Signal { .. } | Deed::Wipe { .. } | Deed::Query { .. }
        )
    }

    /// Orchestrations that entities start because of it.
    pub fn born(&self) -> impl Iterator<Item = &str> {
        let sayings = match &self.deed {
            Deed::Signal { sayings } => sayings.as_slice(),
            _ => &[],
        };
        let starts = sayings.iter().filter(|it| it.said.name == "start");
        starts.filter_map(|it| it.said.whom.as_deref())
    }
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self::with(seed, Dice::new(seed, "plan"), Amount::Much)
    }

    /// A plan of a seed with little to do.
    #[must_use]
    pub fn small(seed: u64) -> Self {
        Self::with(seed, Dice::new(seed, "small plan"), Amount::Little)
    }

    fn with(seed: u64, mut dice: Dice, amount: Amount) -> Self {
        let mut stories = stories(&mut dice, amount);
        let entities = entities::stories(&mut dice, amount, &mut stories);
        Self {
            seed,
            alone: amount == Amount::Much,
            partitions: dice.pick(&[1, 2, 4, 4]),
            lives: u32::try_from(dice.between(2, 7)).expect("small"),
            drift_ppm: dice.pick(&[0, 200, -200, 50_000, -50_000]),
            segment_bytes: dice.pick(&[8 << 10, 16 << 10, 64 << 10]),
            watermark_batches: dice.pick(&[1, 4, 32]),
            cache_bytes: dice.pick(&[0, 4 << 10, 1 << 20]),
            checkpoint_interval: dice.pick(&[
                Duration::ZERO,
                Duration::from_millis(50),
                Duration::from_millis(300),
                Duration::from_secs(1),
            ]),
            durable_checkpoint_bytes: dice.pick(&[2 << 10, 16 << 10, 1 << 20]),
            resident_bytes_max: dice.pick(&[0, 4 << 10, 1 << 20]),
            entries_in_flight_max: dice.pick(&[1, 2, 4]),
            entry_commands_max: dice.pick(&[1, 4, 512]),
            queue_bytes_max: dice.pick(&[600, 64 << 20, 64 << 20]),
            sync_millis: dice.pick(&[1, 4, 40]),
            trouble: dice.pick(&[0, 10, 40]),
            padding: dice.pick(&[0, 0, 0, 12_000]),
            stories,
            entities,
            retention: dice.millis(0, 20_000),
        }
    }
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Much,
    Little,
}

impl Amount {
    /// A number of stories, `much` if there is much to do.
    fn some(self, dice: &mut Dice, much: (u64, u64), little: (u64, u64)) -> u64 {
        let (low, high) = match self {
            Self::Much => much,
            Self::Little => little,
        };
        dice.between(low, high)
    }

    /// When a story begins.
    fn begins(self, dice: &mut Dice) -> Duration {
        match self {
            Self::Much => dice.millis(0, 6_000),
            Self::Little => dice.millis(0, 3_000),
        }
    }
}

fn stories(dice: &mut Dice, amount: Amount) -> Vec<Story> {
    let mut stories = Vec::new();
    let mut add = |dice: &mut Dice, instance: String, after: Option<usize>, deed: Deed| {
        let begins = amount.begins(dice);
        stories.push(Story {
            instance,
            begins,
            after,
            deed,
        });
        stories.len() - 1
    };
    for number in 0..amount.some(dice, (4, 8), (1, 3)) {
        let input = closed_input(dice);
        let deed = match dice.below(10) {
            0..5 => Deed::Run { input, delay: None },
            5 => {
                let delay = Some(dice.millis(100, 3_000));
                Deed::Run { input, delay }
            }
            6 | 7 => Deed::Pester { input },
            _ => {
                let force = dice.percent(30);
                Deed::End { input, force }
            }
        };
        add(dice, format!("run-{number}"), None, deed);
    }
    for number in 0..amount.some(dice, (1, 3), (0, 1)) {
        let instance = format!("ear-{number}");
        let (clients, orchestrations) = (dice.between(1, 3), dice.below(3));
        let senders = clients + orchestrations;
        let input = match dice.percent(50) {
            true => format!("hear:{senders}"),
            false => format!("ages:{senders}:"),
        };
        let deed = match dice.percent(70) {
            true => Deed::Run { input, delay: None },
            false => Deed::Pester { input },
        };
        let ear = add(dice, instance.clone(), None, deed);
        for _ in 0..clients {
            let events = dice.between(1, 8);
            add(dice, instance.clone(), None, Deed::Tell { events });
        }
        for sender in 0..orchestrations {
            let input = format!("tell:{instance}:{}", dice.between(1, 5));
            let deed = Deed::Run { input, delay: None };
            // A message to an instance that does not exist is dropped.
            add(dice, format!("mouth-{number}-{sender}"), Some(ear), deed);
        }
    }
    for number in 0..amount.some(dice, (0, 2), (0, 1)) {
        let times = dice.between(2, 5);
        add(
            dice,
            format!("again-{number}"),
            None,
            Deed::Replace {
                input: Numbered::Always("seq:2".to_owned()),
                times,
            },
        );
    }
    for number in 0..amount.some(dice, (0, 2), (0, 1)) {
        let some = dice.between(1, 3);
        let deed = match dice.below(4) {
            0 => Deed::Purge {
                input: format!("seq:{some}"),
            },
            1 => Deed::Revive {
                input: format!("mix:{some}"),
                times: some,
            },
            2 => Deed::Rewind {
                input: format!("kin:{some}"),
            },
            _ => Deed::Rewind {
                input: format!("brittle:{some}"),
            },
        };
        add(dice, format!("kept-{number}"), None, deed);
    }
    let times = dice.between(2, 5);
    add(dice, "query".to_owned(), None, Deed::Query { times });
    stories
}

/// Input of an orchestration that ends by itself.
fn closed_input(dice: &mut Dice) -> String {
    let some = dice.between(1, CHILDREN_MAX);
    match dice.below(6) {
        0 | 1 => format!("seq:{some}"),
        2 => format!("fan:{}", some * 3),
        3 => format!("timers:{some}:{}", dice.between(1, 2_500)),
        4 => format!("mix:{some}"),
        _ => format!("family:{some}"),
    }
}
