//! The order in which items are taken.

use std::time::Instant;

use super::*;

fn class(name: &str) -> Class {
    Class {
        name: name.into(),
        version: None,
    }
}

/// Items tell their flow and their number in it.
type Item = (&'static str, u32);

#[derive(Default)]
struct Fixture {
    lane: Lane<&'static str, Item>,
    pushed: u32,
}

impl Fixture {
    fn push(&mut self, name: &str, flow: &'static str) {
        self.pushed += 1;
        self.lane
            .push_back(&class(name), &flow, (flow, self.pushed));
    }

    fn push_front(&mut self, name: &str, flow: &'static str) {
        self.pushed += 1;
        self.lane
            .push_front(&class(name), &flow, (flow, self.pushed));
    }

    fn pop(&mut self) -> Option<Item> {
        self.lane.pop(|_| true).map(|(_, item)| item)
    }

    fn rest(&mut self) -> Vec<Item> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    fn numbers(&mut self) -> Vec<u32> {
        self.rest().into_iter().map(|(_, number)| number).collect()
    }

    /// Nothing is kept for what is not queued.
    fn assert_empty(&self) {
        assert_eq!(self.lane.len(), 0);
        assert!(self.lane.classes.is_empty() && self.lane.heads.is_empty());
    }
}

#[test]
fn oldest_first_over_classes_and_the_front_before_all() {
    let mut fixture = Fixture::default();
    fixture.push("a", "x");
    fixture.push("b", "y");
    fixture.push("a", "z");
    fixture.push_front("b", "q");
    assert_eq!(fixture.numbers(), [4, 1, 2, 3]);
    fixture.assert_empty();
}

#[test]
fn trap_52_what_nobody_takes_blocks_nothing() {
    let mut fixture = Fixture::default();
    fixture.push("a", "x");
    fixture.push("b", "x");
    let only_b = |class: &Class| &*class.name == "b";
    assert_eq!(fixture.lane.pop(only_b).map(|it| it.1), Some(("x", 2)));
    assert_eq!(fixture.lane.pop(only_b), None);
    assert_eq!(fixture.lane.len(), 1);
}

#[test]
fn an_instance_with_much_work_does_not_keep_another_waiting() {
    let mut fixture = Fixture::default();
    for _ in 0..10_000 {
        fixture.push("a", "many");
    }
    fixture.push("a", "one");
    assert_eq!(fixture.pop(), Some(("many", 1)));
    assert_eq!(fixture.pop(), Some(("one", 10_001)));
    assert!(fixture.numbers().into_iter().eq(2..=10_000));
    fixture.assert_empty();
}

#[test]
fn nor_does_it_over_classes() {
    let mut fixture = Fixture::default();
    for _ in 0..3 {
        fixture.push("a", "many");
    }
    fixture.push("b", "one");
    assert_eq!(fixture.numbers(), [1, 4, 2, 3]);
}

#[test]
fn instances_that_keep_coming_do_not_keep_one_with_much_work_waiting() {
    let mut fixture = Fixture::default();
    for _ in 0..3 {
        fixture.push("a", "many");
    }
    let mut order = Vec::new();
    for flow in ["b", "c", "d", "e", "f", "g"] {
        fixture.push("a", flow);
        order.push(fixture.pop().expect("there is one").0);
    }
    assert_eq!(order, ["many", "b", "many", "c", "d", "many"]);
}

#[test]
fn flows_take_turns_and_keep_their_own_order() {
    let mut fixture = Fixture::default();
    for flow in ["x", "x", "y", "x", "z", "y"] {
        fixture.push("a", flow);
    }
    let order = [("x", 1), ("y", 3), ("z", 5), ("x", 2), ("y", 6), ("x", 4)];
    assert_eq!(fixture.rest(), order);
}

#[test]
fn what_is_pushed_to_the_front_is_taken_before_all_even_of_one_flow() {
    let mut fixture = Fixture::default();
    for flow in ["x", "y", "x"] {
        fixture.push("a", flow);
    }
    fixture.push_front("a", "x");
    fixture.push_front("a", "x");
    assert_eq!(fixture.pop(), Some(("x", 5)));
    fixture.push_front("a", "z");
    assert_eq!(fixture.numbers(), [6, 4, 2, 1, 3]);
}

#[test]
fn purging_takes_a_flow_out_of_every_class() {
    let mut fixture = Fixture::default();
    for (name, flow) in [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")] {
        fixture.push(name, flow);
    }
    fixture.push_front("a", "x");
    let odd = |item: &Item| item.1 % 2 == 1;
    assert_eq!(fixture.lane.purge(&"x", odd), 3);
    assert_eq!(fixture.lane.purge(&"nobody", |_| true), 0);
    assert_eq!(fixture.numbers(), [4, 2]);
    fixture.assert_empty();
}

/// A long queue costs about as much per item as a short one; a step that looked at everything would cost fifty times as
/// much.
#[test]
fn the_cost_of_a_step_hardly_depends_on_what_is_queued() {
    let per_item = |items: u32, flows: u32| {
        let mut lane = Lane::default();
        let start = Instant::now();
        for item in 0..items {
            lane.push_back(&class("a"), &(item % flows), item);
        }
        while lane.pop(|_| true).is_some() {}
        start.elapsed() / items
    };
    // The fastest of several, since others use the machine.
    let best = |items, flows| (0..3).map(|_| per_item(items, flows)).min();
    for flows in [1, 1_000_000] {
        let (short, long) = (best(1_000, flows), best(50_000, flows));
        assert!(long < short.map(|it| it * 15), "{short:?} and {long:?}");
    }
}
