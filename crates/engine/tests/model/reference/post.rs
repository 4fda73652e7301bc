//! Letters between instances and entities.
//!
//! A message takes effect exactly once, and messages of one sender to one receiver arrive in the order in which they
//! were sent; when they arrive is up to the world. The world is a map: letters within a town arrive before anybody
//! looks again, letters between towns when the driver says so.

use std::rc::Rc;

use super::Model;
use super::children::{ChildEnd, NewChild};
use super::entities::Operation;
use super::locks::Section;
use super::rewind::RewoundChild;
use crate::values::{Event, Id, Text};

/// Where instances and entities live.
pub(crate) type Map = Rc<dyn Fn(&str) -> usize>;

/// What was sent and has not arrived, in the order in which it was sent.
pub(crate) struct Post {
    map: Map,
    underway: Vec<Letter>,
}

pub(super) struct Letter {
    from_town: usize,
    to: Id,
    says: Says,
}

pub(super) enum Says {
    /// Start a child.
    Child(NewChild),
    /// Start an orchestration that nobody waits for.
    Start(super::orchestrations::Beginning),
    /// An external event.
    Event(Event),
    /// End, with this output.
    Terminate { output: Text, recurse: bool },
    /// End, if you still are this child of mine.
    TerminateChild {
        parent: (Id, Id, u64),
        output: Text,
        recurse: bool,
    },
    /// A child ended.
    ChildEnded {
        execution: Id,
        number: u64,
        end: ChildEnd,
    },
    /// The parent was rewound and waits again.
    Rewind(RewoundChild),
    /// Do this, if you are an entity.
    Operation(Operation),
    /// The result of an operation.
    Answer { execution: Id, event: Event },
    /// A critical section wants this entity.
    Lock { section: Section, position: usize },
    /// A critical section leaves this entity.
    Unlock { section: Id, owner: (Id, Id) },
    /// All entities of the section are locked.
    Granted(Section),
}

impl Post {
    pub(super) fn new(map: Map) -> Self {
        Self {
            map,
            underway: Vec::new(),
        }
    }

    fn is_local(&self, letter: &Letter) -> bool {
        letter.from_town == (self.map)(&letter.to)
    }
}

impl Model {
    pub(super) fn send(&mut self, from: &str, to: &str, says: Says) {
        let from_town = (self.post.map)(from);
        self.post.underway.push(Letter {
            from_town,
            to: to.to_owned(),
            says,
        });
    }

    /// Letters between towns, each as its town of origin and its receiver.
    pub(crate) fn letters(&self) -> impl Iterator<Item = (usize, &str)> {
        let letters = self.post.underway.iter();
        letters.map(|letter| (letter.from_town, letter.to.as_str()))
    }

    /// The oldest letter from that town to that receiver arrives; `false` if there is none. Letters that come together
    /// all arrive before anything that follows from one of them: the last is followed by [`Model::settle`].
    pub(crate) fn arrive(&mut self, from_town: usize, to: &str) -> bool {
        let mut letters = self.post.underway.iter();
        let Some(at) = letters.position(|letter| letter.from_town == from_town && letter.to == to)
        else {
            return false;
        };
        let letter = self.post.underway.remove(at);
        self.read(letter);
        true
    }

    /// Ends every step: whatever need not travel arrives, with all that follows from it.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut letters = self.post.underway.iter();
            let Some(at) = letters.position(|letter| self.post.is_local(letter)) else {
                return;
            };
            let letter = self.post.underway.remove(at);
            self.read(letter);
        }
    }

    fn read(&mut self, Letter { to, says, .. }: Letter) {
        match says {
            Says::Child(child) => self.start_child(&to, child),
            Says::Start(beginning) => self.start_for_an_entity(&to, beginning),
            Says::Event(event) => self.event_arrives(&to, event),
            Says::Terminate { output, recurse } => {
                self.terminate_now_or_later(&to, output, recurse);
            }
            Says::TerminateChild {
                parent,
                output,
                recurse,
            } => self.terminate_child(&to, &parent, output, recurse),
            Says::ChildEnded {
                execution,
                number,
                end,
            } => self.child_ended(&to, &execution, number, end),
            Says::Rewind(child) => self.rewind_child(&to, child),
            Says::Operation(operation) => self.operation_arrives(&to, operation),
            Says::Answer { execution, event } => {
                self.tell(&to, Some(&execution), event);
            }
            Says::Lock { section, position } => self.lock_wanted(&to, section, position),
            Says::Unlock { section, owner } => self.unlock(&to, &section, &owner),
            Says::Granted(section) => self.lock_granted(&to, section),
        }
    }
}
