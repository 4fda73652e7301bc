//! What is heard in another order than it was said.

use bytes::Bytes;
use longhaul_engine::InstanceKey;
use longhaul_partition::{
    Capabilities, Elsewhere, EncodedItem, Outlook, Session, SessionSpec, Sessions,
};
use longhaul_types::{HubId, InstanceId};
use parking_lot::Mutex;

use super::*;
use crate::claims::wire::Looked;

const HUB: HubId = HubId(1);
const THERE: NodeId = NodeId(2);
const KIND: WorkKind = WorkKind::Activity;

#[derive(Default)]
struct Caught(Mutex<Vec<Taker>>);

struct Idle;

impl Outlook for Idle {
    fn look(&mut self) {}
}

impl Elsewhere for Caught {
    fn open(&self, stream: Taker) -> Box<dyn Outlook> {
        self.0.lock().push(stream);
        Box::new(Idle)
    }
}

/// A stream with room for three, a node, and a claim on its way there.
struct Fixture {
    registry: Registry<&'static str>,
    taker: Taker,
    ticket: Ticket,
    _session: Session,
}

impl Fixture {
    fn new() -> Self {
        let (sessions, caught) = (Sessions::default(), Arc::new(Caught::default()));
        sessions.look_elsewhere(caught.clone());
        let session = sessions.open(SessionSpec {
            hub: HUB,
            worker_id: None,
            limits: [0, 3, 0],
            filters: None,
            capabilities: Capabilities::default(),
        });
        let taker = caught.0.lock()[0].clone();
        let mut registry = Registry::default();
        registry.open(taker.clone());
        registry.link_opened(THERE, "first link");
        let claims = registry.look(taker.id());
        assert_eq!(claims[0].ticket.slots, [0, 3, 0]);
        assert!(claims[0].introduction.is_some());
        assert_eq!(taker.free(KIND), 0);
        assert!(registry.look(taker.id()).is_empty(), "one at a time");
        Self {
            ticket: claims[0].ticket,
            registry,
            taker,
            _session: session,
        }
    }

    fn give(&mut self, items: usize) -> Option<Farewell<&'static str>> {
        let item = EncodedItem {
            kind: KIND,
            token: "token".to_owned(),
            key: InstanceKey::new(HUB, InstanceId::trusted("a")),
            bytes: Bytes::new(),
        };
        let (look, more, unsent) = (Look(1), false, 0);
        let given = Given {
            items: vec![item; items],
            kinds: [None, Some(Looked { look, more, unsent }), None],
        };
        self.registry.given(self.ticket, given)
    }

    fn freed(&mut self, slots: u32) {
        let streams = BTreeMap::from([(self.taker.id(), [0, slots, 0])]);
        self.registry.freed(THERE, streams);
    }
}

#[test]
fn slots_of_items_are_taken_and_the_rest_is_free() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.give(2), None);
    assert_eq!(fixture.taker.free(KIND), 1);
    fixture.freed(1);
    assert_eq!(fixture.taker.free(KIND), 2);
    fixture.freed(5);
    assert_eq!(fixture.taker.free(KIND), 3, "no more than were taken");
}

#[test]
fn an_item_may_be_over_before_it_has_come() {
    let mut fixture = Fixture::new();
    fixture.freed(1);
    assert_eq!(fixture.taker.free(KIND), 1);
    fixture.give(2);
    assert_eq!(fixture.taker.free(KIND), 2);
    fixture.freed(1);
    assert_eq!(fixture.taker.free(KIND), 3);
}

#[test]
fn what_was_never_given_cannot_be_over() {
    let mut fixture = Fixture::new();
    fixture.freed(2);
    fixture.give(1);
    assert_eq!(fixture.taker.free(KIND), 3);
}

#[test]
fn with_the_link_all_slots_are_free_and_what_comes_later_is_nobodys() {
    for items in [0, 2] {
        let mut fixture = Fixture::new();
        if items > 0 {
            fixture.give(items);
        }
        fixture.registry.link_lost(THERE);
        assert_eq!(fixture.taker.free(KIND), 3);
        fixture.registry.link_opened(THERE, "second link");
        assert_eq!(fixture.give(2), None);
        assert!(fixture.registry.failed(fixture.ticket).is_none());
        fixture.freed(1);
        assert_eq!(fixture.taker.free(KIND), 3);
    }
}

#[test]
fn the_end_of_a_stream_is_told_when_its_claim_is_back() {
    let mut fixture = Fixture::new();
    let (id, profile) = (fixture.taker.id(), fixture.ticket.profile);
    let early = fixture.registry.close(id);
    let profiles = vec![profile];
    let streams = Vec::new();
    assert_eq!(early, [("first link", Gone { streams, profiles })]);
    let (streams, profiles) = (vec![id], vec![profile]);
    let late = ("first link", Gone { streams, profiles });
    assert_eq!(fixture.give(2), Some(late));
    assert!(fixture.registry.close(id).is_empty());
}

#[test]
fn a_claim_that_fails_gives_everything_back_and_waits() {
    let mut fixture = Fixture::new();
    let id = fixture.taker.id();
    let (streams, profiles) = (vec![id], Vec::new());
    let farewell = fixture.registry.failed(fixture.ticket);
    assert_eq!(farewell, Some(("first link", Gone { streams, profiles })));
    assert_eq!(fixture.taker.free(KIND), 3);
    assert!(fixture.registry.look(id).is_empty());
    fixture.registry.end_pause(fixture.ticket);
    assert_eq!(fixture.registry.look(id).len(), 1);
}
