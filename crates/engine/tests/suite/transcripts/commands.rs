//! The lines that are commands to one instance or entity, by a client or by the leader.

use longhaul_engine::command::{CreateInstance, DueOperation, DueTimer, PurgeTarget, ReusePolicy};
use longhaul_engine::history::entity_event::{self, OperationText};
use longhaul_engine::history::event;
use longhaul_engine::message::Creation;
use longhaul_engine::{Command, InstanceKey, RequestId};
use longhaul_types::ExecutionId;

use super::line::{Line, moment, status};
use crate::support::Cluster;

/// The command that a line means.
pub(crate) fn command(cluster: &mut Cluster, line: &Line, key: InstanceKey) -> Command {
    let command = plain(cluster, line, key);
    match line.get_number::<u64>("once") {
        Some(request) => Command::Once {
            request: RequestId(request.into()),
            command: Box::new(command),
        },
        None => command,
    }
}

fn plain(cluster: &mut Cluster, line: &Line, key: InstanceKey) -> Command {
    match line.word(0) {
        "create" => create(cluster, line, key),
        "raise" => {
            let input = line.bytes("input");
            let event = event::event_raised(cluster.now, line.word(2), input.as_deref());
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
        "force" => Command::ForceTerminate {
            key,
            reason: line.bytes("reason"),
        },
        "rewind" => Command::Rewind {
            key,
            execution: given_or_fresh(cluster, line),
            reason: line.bytes("reason"),
        },
        "restart" => Command::Restart {
            key,
            execution: given_or_fresh(cluster, line),
        },
        "purge" => Command::Purge {
            targets: vec![PurgeTarget {
                key,
                completed_at: line.get("completed").map(|it| moment(it, cluster.now)),
            }],
        },
        "remove" => Command::Remove {
            keys: keys(line).collect(),
        },
        "expire" => Command::ExpireEntities(keys(line).collect()),
        "activity" => activity(cluster, line, key),
        "fire" => {
            let execution = execution(cluster, line, &key);
            let due = numbers(line).map(|seq| DueTimer {
                key: key.clone(),
                execution: execution.clone(),
                seq,
            });
            Command::FireTimers(due.collect())
        }
        "signal" => signal(cluster, line, key),
        "release" => {
            let due = numbers(line).map(|seq| DueOperation {
                key: key.clone(),
                seq,
            });
            Command::ReleaseOperations(due.collect())
        }
        verb => panic!("{verb:?} is no command"),
    }
}

fn keys(line: &Line) -> impl Iterator<Item = InstanceKey> {
    line.words_from(1).iter().map(|id| Cluster::key(id))
}

fn numbers(line: &Line) -> impl Iterator<Item = u64> {
    let words = line.words_from(2).iter();
    words.map(|word| word.parse().expect("a number"))
}

fn given_or_fresh(cluster: &mut Cluster, line: &Line) -> ExecutionId {
    let given = line.get("execution").map(ExecutionId::new);
    given.unwrap_or_else(|| cluster.fresh())
}

fn create(cluster: &mut Cluster, line: &Line, key: InstanceKey) -> Command {
    let now = cluster.now;
    let fresh = cluster.creation(line.word(2));
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

fn activity(cluster: &Cluster, line: &Line, key: InstanceKey) -> Command {
    let (now, seq) = (cluster.now, line.number(2));
    let home = cluster.home(&key);
    let activity = cluster.partitions[home]
        .instances
        .get(&key)
        .and_then(|instance| instance.activities.get(&seq));
    let task_id = activity.map_or(0, |it| it.task_id);
    let execution = match (line.get("execution"), activity) {
        (None, Some(activity)) => activity.execution.clone(),
        _ => execution(cluster, line, &key),
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

fn signal(cluster: &Cluster, line: &Line, key: InstanceKey) -> Command {
    let now = cluster.now;
    let due = line.get("due").map(|due| moment(due, now));
    let request_id = line.get("request").unwrap_or(line.word(2));
    let input = line.bytes("input");
    let text = OperationText {
        request_id,
        operation: line.word(2),
        scheduled: due,
        input: input.as_deref(),
        target: key.id.as_str(),
    };
    Command::SignalEntity {
        request_id: request_id.into(),
        event: entity_event::operation_signaled(event::INBOUND, now, text),
        due,
        key,
    }
}

fn execution(cluster: &Cluster, line: &Line, key: &InstanceKey) -> ExecutionId {
    line.get("execution").map_or_else(
        || cluster.live(key.id.as_str()).execution.clone(),
        ExecutionId::new,
    )
}
