//! What only looks bad: it is taken, it changes nothing, and it finds nothing that it should not.

use super::requests::good;
use super::world::{ENDED, LIVE, World};
use super::{Case, Expected, values};
use crate::rpc::Rpc;
use crate::testing::connection::{framed, request};
use crate::testing::wire::{Value, at, put, put_bytes};

/// Calls whose good request has no effect.
const WITHOUT_EFFECT: [Rpc; 20] = [
    Rpc::Hello,
    Rpc::GetInstance,
    Rpc::WaitForInstanceStart,
    Rpc::WaitForInstanceCompletion,
    Rpc::TerminateInstance,
    Rpc::ResumeInstance,
    Rpc::QueryInstances,
    Rpc::ListInstanceIds,
    Rpc::PurgeInstances,
    Rpc::StreamInstanceHistory,
    Rpc::SkipGracefulOrchestrationTerminations,
    Rpc::GetWorkItems,
    Rpc::CompleteActivityTask,
    Rpc::CompleteOrchestratorTask,
    Rpc::CompleteEntityTask,
    Rpc::AbandonTaskActivityWorkItem,
    Rpc::AbandonTaskOrchestratorWorkItem,
    Rpc::AbandonTaskEntityWorkItem,
    Rpc::GetEntity,
    Rpc::QueryEntities,
];

/// Texts that have meant something to somebody.
const ODD: [(&str, &str); 14] = [
    ("a path", "../../etc/passwd"),
    ("a NUL for others", "a%00b"),
    ("a tag", "<script>alert(1)</script>"),
    ("a quote", "' OR 1=1 --"),
    ("a format", "{0} %s ${x}"),
    ("a wildcard", "*%_?"),
    ("right to left", "a\u{202E}b"),
    ("of no width", "a\u{200B}b"),
    ("combined", "e\u{0301}"),
    ("beyond the first plane", "\u{1F600}"),
    ("a surrogate as text", "\\ud800"),
    ("a sign inside", "a@b@c"),
    ("spaces", "  a  "),
    ("as long as can be", LONGEST),
];

const LONGEST: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
                       xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut fine = |rpc: Rpc, what: &str, message: Vec<u8>| {
        cases.push(Case {
            name: format!("{}: {what}", rpc.name()),
            request: request(rpc, framed(&message)),
            expected: Expected::Fine,
        });
    };
    let with = |rpc: Rpc, path: &str, value: Value| {
        let way = at(rpc, path).unwrap_or_else(|| panic!("{path}"));
        [good(rpc), put(&way, &value)].concat()
    };

    for rpc in WITHOUT_EFFECT {
        let mut unknown = good(rpc);
        put_bytes(&mut unknown, 1000, b"later");
        put_bytes(&mut unknown, 536_870_911, &[0xFF; 100]);
        fine(rpc, "unknown fields", unknown);
    }
    for (what, text) in ODD {
        let what = format!("a text is {what}");
        fine(
            Rpc::GetInstance,
            &what,
            with(Rpc::GetInstance, "instanceId", Value::text(text)),
        );
        let entity: String = format!("@counter@{text}").chars().take(100).collect();
        fine(
            Rpc::GetEntity,
            &what,
            with(Rpc::GetEntity, "instanceId", Value::text(entity)),
        );
        for (rpc, path) in [
            (Rpc::QueryInstances, "query.instanceIdPrefix"),
            (Rpc::QueryEntities, "query.instanceIdStartsWith"),
            (Rpc::PurgeInstances, "instanceId"),
        ] {
            fine(rpc, &what, with(rpc, path, Value::text(text)));
        }
    }
    for size in [i32::MIN, -1, 0, 1_001, i32::MAX] {
        for (rpc, path) in [
            (Rpc::QueryInstances, "query.maxInstanceCount"),
            (Rpc::ListInstanceIds, "pageSize"),
            (Rpc::QueryEntities, "query.pageSize"),
        ] {
            let message = with(rpc, path, Value::Number(i64::from(size)));
            fine(rpc, &format!("a page of {size}"), message);
        }
    }
    for limit in ["Orchestration", "Activity", "Entity"] {
        let path = format!("maxConcurrent{limit}WorkItems");
        for count in [0, i32::MAX] {
            let message = with(Rpc::GetWorkItems, &path, Value::Number(i64::from(count)));
            fine(Rpc::GetWorkItems, &format!("{path} {count}"), message);
        }
    }
    for capability in [-1, 77, i32::MAX] {
        let message = with(
            Rpc::GetWorkItems,
            "capabilities",
            Value::Number(i64::from(capability)),
        );
        fine(
            Rpc::GetWorkItems,
            &format!("capability {capability}"),
            message,
        );
    }
    for (rpc, token) in [
        (Rpc::QueryInstances, "query.continuationToken"),
        (Rpc::ListInstanceIds, "lastInstanceKey"),
        (Rpc::QueryEntities, "query.continuationToken"),
        (Rpc::CleanEntityStorage, "continuationToken"),
    ] {
        fine(rpc, "an empty token", with(rpc, token, Value::text("")));
    }
    for (rpc, token, text) in [
        (
            Rpc::QueryInstances,
            "query.continuationToken",
            &world.instances,
        ),
        (Rpc::ListInstanceIds, "lastInstanceKey", &world.ended),
        (
            Rpc::QueryEntities,
            "query.continuationToken",
            &world.entities,
        ),
    ] {
        fine(
            rpc,
            "its own token",
            with(rpc, token, Value::text(text.as_str())),
        );
    }
    for (rpc, path) in [
        (Rpc::QueryInstances, "query.runtimeStatus"),
        (Rpc::ListInstanceIds, "runtimeStatus"),
        (Rpc::PurgeInstances, "purgeInstanceFilter.runtimeStatus"),
    ] {
        let message = with(rpc, path, Value::Number(2));
        fine(rpc, "a status that nobody has", message);
    }
    for (what, seconds) in [
        ("the first year", -62_135_596_800),
        ("the last year", 253_402_300_799),
    ] {
        for (rpc, path) in [
            (Rpc::QueryInstances, "query.createdTimeTo"),
            (Rpc::ListInstanceIds, "completedTimeFrom"),
            (Rpc::QueryEntities, "query.lastModifiedFrom"),
        ] {
            let message = with(rpc, path, values::timestamp(seconds, 0));
            fine(rpc, &format!("{path} in {what}"), message);
        }
    }
    purges(&mut fine);
    for (what, ids) in [
        ("an entity", "@counter@a"),
        ("nobody", ""),
        ("a malformed id", "a\nb"),
        ("a long id", LONGEST),
        ("somebody missing", "missing"),
        ("somebody ended", ENDED),
    ] {
        let rpc = Rpc::SkipGracefulOrchestrationTerminations;
        let message = with(rpc, "instanceBatch.instanceIds", Value::text(ids));
        fine(rpc, &format!("{what} in the batch"), message);
    }
    stale_tokens(&mut fine);
    cases
}

/// Purges that find nothing to delete.
fn purges(fine: &mut impl FnMut(Rpc, &str, Vec<u8>)) {
    let rpc = Rpc::PurgeInstances;
    let field = |path: &str, value: Value| {
        let way = at(rpc, path).unwrap_or_else(|| panic!("{path}"));
        put(&way, &value)
    };
    let flag = |path: &str| field(path, Value::Number(1));
    let one = |id: &str| field("instanceId", Value::text(id));
    let batch = |ids: &[&str]| {
        let ids = values::batch(ids.iter().map(|id| (*id).to_owned()));
        field("instanceBatch", Value::Message(ids))
    };
    let future = field(
        "purgeInstanceFilter.createdTimeFrom",
        values::timestamp(4_000_000_000, 0),
    );
    let cases = [
        ("a live one", one(LIVE)),
        (
            "a live one and its children",
            [one(LIVE), flag("recursive")].concat(),
        ),
        (
            "an entity as an orchestration",
            [one("@counter@a"), flag("isOrchestration")].concat(),
        ),
        (
            "half an id of an entity as an orchestration",
            [one("@x"), flag("isOrchestration")].concat(),
        ),
        ("a batch of none", batch(&[])),
        (
            "a batch of live and missing ones",
            batch(&[LIVE, "missing", LIVE]),
        ),
        (
            "live statuses",
            field("purgeInstanceFilter.runtimeStatus", Value::Number(6)),
        ),
        ("the future", future.clone()),
        (
            "the future and its children",
            [future, flag("recursive")].concat(),
        ),
    ];
    for (what, message) in cases {
        fine(rpc, what, message);
    }
}

/// Whatever a token is, if it is none that is out, nothing happens.
fn stale_tokens(fine: &mut impl FnMut(Rpc, &str, Vec<u8>)) {
    let tokens = [
        ("a word", "garbage".to_owned()),
        ("numbers", "0:0:0:0".to_owned()),
        ("NUL", "\0".to_owned()),
        ("a path", "../../x".to_owned()),
        ("not ASCII", "é".repeat(50)),
        ("very long", "x".repeat(100_000)),
        (
            "encoded",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        ),
    ];
    for rpc in [
        Rpc::CompleteActivityTask,
        Rpc::CompleteOrchestratorTask,
        Rpc::CompleteEntityTask,
        Rpc::AbandonTaskActivityWorkItem,
        Rpc::AbandonTaskOrchestratorWorkItem,
        Rpc::AbandonTaskEntityWorkItem,
    ] {
        let way = at(rpc, "completionToken").expect("a field");
        for (what, token) in &tokens {
            let message = [good(rpc), put(&way, &Value::text(token.as_str()))].concat();
            fine(rpc, &format!("a token is {what}"), message);
        }
    }
}
