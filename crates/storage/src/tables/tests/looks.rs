//! Properties: whatever is searched for at whatever moment, page by page, is what the model finds.

use longhaul_engine::key::InstanceKey;
use longhaul_engine::mem::MemTables;
use longhaul_engine::query::{
    EndedFilter, EntityQuery, EntityView, InstanceFilter, Span, StatusSet, TimePosition,
};
use longhaul_engine::view::InstanceView;
use longhaul_engine::{Instance, Status};
use longhaul_types::{HubId, InstanceId, limits};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::look::Look;
use super::agreement::{Step, any_budget, any_record_change, any_status, any_step_with};
use super::world::{Change, HUBS, World, at, key};
use crate::conformance::Subject;
use crate::testing::{InMemory, OnDisk};

const LOOK_KEYS: u8 = 30;
/// No search has as many answers.
const PAGED_MAX: usize = 100;

/// Something to ask, and how many answers to ask for at a time.
#[derive(Clone, Debug)]
struct Search {
    question: Question,
    page: usize,
}

#[derive(Clone, Debug)]
enum Question {
    Instances(InstanceFilter),
    Ended(EndedFilter),
    Entities(EntityQuery),
    Keys(HubId),
    Count(HubId),
}

// === what is asked ===

fn any_hub() -> impl Strategy<Value = HubId> {
    let unused = HubId(3);
    prop_oneof![8 => select(HUBS.to_vec()), 1 => Just(unused)]
}

fn any_span() -> impl Strategy<Value = Span> {
    let time = || option::of((0..12_u8).prop_map(at));
    prop_oneof![
        Just(Span::default()),
        (time(), time()).prop_map(|(from, to)| Span { from, to }),
    ]
}

fn any_statuses() -> impl Strategy<Value = StatusSet> {
    let some = vec(
        select((0..8).filter_map(Status::from_wire).collect::<Vec<_>>()),
        0..4,
    );
    prop_oneof![Just(StatusSet::ALL), some.prop_map(StatusSet::from_iter),]
}

fn any_question() -> impl Strategy<Value = Question> {
    let id_prefix = select(vec!["", "", "o", "order", "order-\0", "orders", "0", "zzz"]);
    let instances = (any_hub(), any_statuses(), any_span(), id_prefix).prop_map(
        |(hub, statuses, created, id_prefix)| {
            Question::Instances(InstanceFilter {
                hub,
                statuses,
                created,
                id_prefix: id_prefix.to_owned(),
            })
        },
    );
    let ended = (any_hub(), any_statuses(), any_span()).prop_map(|(hub, statuses, completed)| {
        Question::Ended(EndedFilter {
            hub,
            statuses,
            completed,
        })
    });
    let entity_prefix = select(vec!["", "@", "@counter@", "@counter@a", "@other@"]);
    let entities = (any_hub(), entity_prefix, any_span(), any::<bool>()).prop_map(
        |(hub, id_prefix, modified, transient)| {
            Question::Entities(EntityQuery {
                hub,
                id_prefix: id_prefix.to_owned(),
                modified,
                transient,
            })
        },
    );
    prop_oneof![
        4 => instances,
        2 => ended,
        2 => entities,
        1 => any_hub().prop_map(Question::Keys),
        1 => any_hub().prop_map(Question::Count),
    ]
}

fn any_search() -> impl Strategy<Value = Search> {
    (any_question(), 1..7_usize).prop_map(|(question, page)| Search { question, page })
}

// === what the answer is ===

fn instances(model: &MemTables, filter: &InstanceFilter) -> Vec<InstanceView> {
    let wanted = model.instances.iter().filter(|(key, instance)| {
        key.hub == filter.hub
            && filter.statuses.contains(instance.effective_status())
            && filter.created.contains(instance.created_at)
            && key.id.as_str().starts_with(&filter.id_prefix)
    });
    let mut found: Vec<_> = wanted
        .map(|(key, instance)| InstanceView::of(key, instance))
        .collect();
    found.sort_by_key(|view| (view.created_at, view.key.id.clone()));
    found
}

fn ended(model: &MemTables, filter: &EndedFilter) -> Vec<TimePosition> {
    let is_wanted = |instance: &Instance| {
        instance.status.is_terminal() && filter.statuses.contains(instance.status)
    };
    let mut found: Vec<_> = model
        .instances
        .iter()
        .filter(|(key, instance)| key.hub == filter.hub && is_wanted(instance))
        .map(|(key, instance)| TimePosition {
            at: instance.completed_at.expect("it ended"),
            id: key.id.clone(),
        })
        .filter(|place| filter.completed.contains(place.at))
        .collect();
    found.sort();
    found
}

fn entities(model: &MemTables, query: &EntityQuery) -> Vec<EntityView> {
    let of_hub = model
        .entities
        .iter()
        .filter(|(key, _)| key.hub == query.hub && key.id.as_str().starts_with(&query.id_prefix));
    of_hub
        .filter_map(|(key, entity)| entity.view(key, query.transient))
        .filter(|view| query.modified.contains(view.modified_at))
        .collect()
}

fn keys(model: &MemTables, hub: HubId) -> Vec<InstanceKey> {
    let all = model.instances.keys().chain(model.entities.keys());
    let mut found: Vec<_> = all.filter(|key| key.hub == hub).cloned().collect();
    found.sort();
    found
}

// === comparison ===

/// All pages there are; every page but the last is full.
fn all_pages<T>(page: usize, mut next: impl FnMut(Option<&T>, usize) -> Vec<T>) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    loop {
        let found = next(all.last(), page);
        assert!(found.len() <= page);
        assert!(all.len() < PAGED_MAX, "pages go on for ever");
        let is_last = found.len() < page;
        all.extend(found);
        if is_last {
            return all;
        }
    }
}

fn check(look: &Look, model: &MemTables, search: &Search) {
    let page = search.page;
    match &search.question {
        Question::Instances(filter) => {
            let found = all_pages(page, |last: Option<&InstanceView>, limit| {
                let after = last.map(|view| TimePosition {
                    at: view.created_at,
                    id: view.key.id.clone(),
                });
                look.instances(filter, after.as_ref(), limit).expect("read")
            });
            assert_eq!(found, instances(model, filter), "{search:?}");
        }
        Question::Ended(filter) => {
            let found = all_pages(page, |last, limit| {
                look.ended(filter, last, limit).expect("read")
            });
            assert_eq!(found, ended(model, filter), "{search:?}");
        }
        Question::Entities(query) => {
            let found = all_pages(page, |last: Option<&EntityView>, limit| {
                let after: Option<&InstanceId> = last.map(|view| &view.id);
                look.entities(query, after, limit).expect("read")
            });
            assert_eq!(found, entities(model, query), "{search:?}");
        }
        Question::Keys(hub) => {
            let found = all_pages(page, |last, limit| {
                look.keys(*hub, last, limit).expect("read")
            });
            assert_eq!(found, keys(model, *hub), "{search:?}");
        }
        Question::Count(hub) => {
            let counts = look.count(*hub).expect("read");
            assert_eq!(counts.values().sum::<u64>(), {
                let of_hub = model.instances.keys().filter(|key| key.hub == *hub);
                of_hub.count() as u64
            });
            for (status, count) in counts {
                let same = model.instances.iter().filter(|(key, instance)| {
                    key.hub == *hub && instance.effective_status() == status
                });
                assert_eq!(same.count() as u64, count, "{status:?}");
            }
        }
    }
}

/// What happens, and what is asked meanwhile.
#[derive(Clone, Debug)]
struct Story {
    budget: usize,
    /// Instances there are in the beginning, as rows.
    begin: Vec<Change>,
    steps: Vec<Step>,
    searches: Vec<Search>,
    /// After which steps looks are taken that are not searched before the end.
    late: Vec<bool>,
}

fn any_story(steps: usize) -> impl Strategy<Value = Story> {
    let begin = vec((any_status(), 0..8_u8), usize::from(LOOK_KEYS));
    let parts = (
        any_budget(),
        begin,
        vec(any_step_with(any_record_change(LOOK_KEYS)), 1..steps),
        vec(any_search(), 1..5),
        vec(any::<bool>(), steps),
    );
    parts.prop_map(|(budget, begin, steps, searches, late)| {
        let begin = (0..).zip(begin);
        Story {
            budget,
            begin: begin
                .map(|(key, (status, second))| put(key, status, second))
                .collect(),
            steps,
            searches,
            late,
        }
    })
}

/// Looks are taken after every step. Some are searched when everything has changed, the last one first.
fn agree<S: Subject>(subject: S, story: &Story) {
    let mut world = World::new(subject, story.budget);
    story.begin.iter().for_each(|change| world.apply(change));
    world.write_through();
    world.flush();
    let search = |look: &Look, model: &MemTables| {
        for search in &story.searches {
            check(look, model, search);
        }
    };
    let mut kept = Vec::new();
    for (step, is_late) in story.steps.iter().zip(&story.late) {
        if matches!(step, Step::Crash) {
            // A process that is gone looks no more.
            kept.clear();
        }
        step.take(&mut world);
        let look = world.tables.look().expect("looked");
        match is_late {
            true => kept.push((look, world.model.clone())),
            false => search(&look, &world.model),
        }
    }
    while let Some((look, model)) = kept.pop() {
        search(&look, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn looks_at_tables_in_memory_agree_with_the_model(story in any_story(60)) {
        agree(InMemory::new(), &story);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn looks_at_tables_on_disk_agree_with_the_model(story in any_story(40)) {
        agree(OnDisk::new(), &story);
    }
}

// === stories ===

fn put(key: u8, status: Status, second: u8) -> Change {
    Change::PutInstance {
        key,
        status,
        second,
        payload_bytes: 10,
    }
}

fn everything() -> InstanceFilter {
    InstanceFilter {
        hub: HUBS[0],
        statuses: StatusSet::ALL,
        created: Span::default(),
        id_prefix: String::new(),
    }
}

fn ids(found: &[InstanceView]) -> Vec<InstanceId> {
    found.iter().map(|view| view.key.id.clone()).collect()
}

#[test]
fn what_is_looked_at_can_change_threads_and_outlive_the_tables() {
    fn can<T: Send + Sync + 'static>() {}
    can::<Look>();

    let mut world = World::new(OnDisk::new(), usize::MAX);
    world.apply(&put(0, Status::Running, 1));
    world.write_through();
    world.apply(&put(2, Status::Running, 0));
    let look = world.tables.look().expect("looked");
    let World {
        tables, subject, ..
    } = world;
    drop(tables);
    let found = look.instances(&everything(), None, 10).expect("read");
    assert_eq!(ids(&found), [key(2).id, key(0).id]);
    drop(look);
    drop(subject);
}

#[test]
fn a_look_sees_nothing_that_happens_later() {
    let mut world = World::new(OnDisk::new(), 0);
    for number in [0, 2, 4] {
        world.apply(&put(number, Status::Running, number));
    }
    world.write_through();
    world.apply(&put(6, Status::Running, 6));
    let look = world.tables.look().expect("looked");
    let seen = look.instances(&everything(), None, 10).expect("read");
    assert_eq!(ids(&seen), [0, 2, 4, 6].map(|number| key(number).id));

    world.apply(&Change::RemoveInstance { key: 0 });
    world.apply(&Change::UpdateInstance {
        key: 6,
        status: Status::Completed,
    });
    world.apply(&put(8, Status::Running, 8));
    world.write_through();
    world.flush();
    let still = look.instances(&everything(), None, 10).expect("read");
    assert_eq!(still, seen);
}

#[test]
fn many_looks_that_nobody_has_searched_yet_are_each_of_their_moment() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    let mut looks = Vec::new();
    for second in 0..200 {
        world.apply(&put(0, Status::Running, second));
        looks.push(world.tables.look().expect("looked"));
        if second == 150 {
            world.freeze();
        }
    }
    for (second, look) in (0..200).zip(&looks).rev() {
        let found = look.instances(&everything(), None, 10).expect("read");
        let times: Vec<_> = found.iter().map(|view| view.created_at).collect();
        assert_eq!(times, [at(second)]);
    }
}

#[test]
fn a_look_takes_what_has_changed_since_the_last_one() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    let changes = |world: &mut World<InMemory>| {
        let seen = world.tables.residents.look();
        [seen.frozen, seen.current].map(|version| version.map_or(0, |it| it.changes()))
    };
    assert_eq!(changes(&mut world), [0, 0]);
    (0..20).for_each(|key| world.apply(&put(key, Status::Running, key)));
    assert_eq!(changes(&mut world), [0, 20]);
    world.apply(&put(3, Status::Completed, 3));
    world.apply(&put(3, Status::Failed, 3));
    assert_eq!(changes(&mut world), [0, 1]);
    world.freeze();
    assert_eq!(changes(&mut world), [0, 0], "the looks before saw it all");
    world.apply(&put(4, Status::Completed, 4));
    assert_eq!(changes(&mut world), [0, 1]);
    world.write();
    world.complete();
    assert_eq!(changes(&mut world), [0, 1]);
    world.freeze();
    world.write();
    world.complete();
    assert_eq!(changes(&mut world), [0, 0]);
    (0..20).for_each(|key| world.apply(&put(key, Status::Running, key)));
    world.freeze();
    world.apply(&put(4, Status::Completed, 4));
    assert_eq!(changes(&mut world), [19, 1], "nobody looked before");
}

#[test]
fn a_page_ends_with_a_number_of_bytes_too_whichever_way_it_was_found() {
    let mut world = World::new(InMemory::new(), 0);
    let numbers = || (0..240_u8).step_by(2);
    for number in numbers() {
        world.apply(&Change::PutInstance {
            key: number,
            status: Status::Running,
            second: 250 - number,
            payload_bytes: u16::MAX,
        });
    }
    world.write_through();
    for prefix in ["", "order"] {
        let all = numbers().rev().map(|number| key(number).id);
        let expected = all.filter(|id| id.as_str().starts_with(prefix));
        let expected: Vec<InstanceId> = expected.collect();
        let filter = InstanceFilter {
            id_prefix: prefix.to_owned(),
            ..everything()
        };
        let look = world.tables.look().expect("looked");
        let mut found: Vec<InstanceView> = Vec::new();
        loop {
            let after = found.last().map(|view| TimePosition {
                at: view.created_at,
                id: view.key.id.clone(),
            });
            let page = look.instances(&filter, after.as_ref(), 200).expect("read");
            let Some((_, before)) = page.split_last() else {
                break;
            };
            let bytes: usize = before.iter().map(InstanceView::payload_bytes).sum();
            assert!(bytes < limits::SEARCH_BYTES_MAX, "one too many");
            assert!(page.len() < 40, "no end: {}", page.len());
            found.extend(page);
        }
        assert!(ids(&found) == expected, "{prefix:?}: {}", found.len());
    }
}

#[test]
fn an_index_that_contradicts_the_records_is_a_fault() {
    let mut world = World::new(InMemory::new(), 0);
    world.apply(&put(0, Status::Running, 1));
    world.apply(&put(2, Status::Running, 2));
    world.write_through();
    let mut damage = |delete: &[u8], put: &[u8]| {
        let mut batch = crate::rows::RowBatch::default();
        batch.delete(delete);
        batch.put(put, b"");
        world.tables.rows().write(batch).expect("written");
        let look = world.tables.look().expect("looked");
        look.instances(&everything(), None, 10)
            .map(|found| ids(&found))
    };
    let entry = |number: u8, status, second| {
        use crate::keys::{Kind, index};
        let key = key(number);
        index::encode(Kind::Created, key.hub, status, at(second).into(), &key.id)
    };
    let right = entry(0, Status::Running, 1);
    for wrong in [
        entry(0, Status::Failed, 1),
        entry(0, Status::Running, 3),
        entry(4, Status::Running, 1),
    ] {
        let fault = damage(&right, &wrong).expect_err("nothing of that kind");
        assert!(fault.place.starts_with("index entry of"), "{fault}");
        assert_eq!(
            damage(&wrong, &right).expect("repaired"),
            [key(0).id, key(2).id]
        );
    }
    let cut = &right[..10];
    assert!(damage(&right, cut).is_err(), "a malformed key");
}
