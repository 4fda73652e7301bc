//! Records that are protobuf but not ours: each wrong field is named.

use bytes::Bytes;
use longhaul_proto::storage::v1 as wire;
use wire::command::Command as Body;

use super::*;

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn key() -> wire::InstanceKey {
    wire::InstanceKey {
        hub: 1,
        id: text("a"),
    }
}

fn instance() -> wire::Instance {
    wire::Instance {
        name: text("n"),
        execution_id: text("x"),
        created_at: Some(wire::Timestamp::default()),
        updated_at: Some(wire::Timestamp::default()),
        history: Some(wire::History::default()),
        ..wire::Instance::default()
    }
}

type Damage = fn(&mut wire::Instance);

/// What is wrong with an instance that `change` has damaged.
fn flaw_of_instance(change: impl FnOnce(&mut wire::Instance)) -> Corrupt {
    let mut record = instance();
    change(&mut record);
    decode_instance(envelope::seal(&record)).expect_err("damaged")
}

fn flaw_of_command(command: Option<Body>) -> Corrupt {
    let batch = wire::Batch {
        at: Some(wire::Timestamp::default()),
        commands: vec![wire::Command { command }],
        ..wire::Batch::default()
    };
    decode_batch(envelope::seal(&batch)).expect_err("damaged")
}

#[test]
fn wrong_fields_of_an_instance_are_named() {
    decode_instance(envelope::seal(&instance())).expect("the undamaged record is well formed");

    let out_of_range = |field, value| Corrupt::OutOfRange { field, value };
    let cases: [(Damage, Corrupt); 12] = [
        (
            |i| i.name = Bytes::from_static(b"\xFF"),
            Corrupt::NotText("name"),
        ),
        (
            |i| i.execution_id = Bytes::from_static(b"\xFF"),
            Corrupt::NotText("execution id"),
        ),
        (
            |i| i.version = Some(Bytes::from_static(b"\xFF")),
            Corrupt::NotText("version"),
        ),
        (|i| i.status = 2, out_of_range("status", 2)),
        (|i| i.created_at = None, Corrupt::Missing("created_at")),
        (
            |i| {
                i.updated_at = Some(wire::Timestamp {
                    seconds: 0,
                    nanos: 1_000_000_000,
                })
            },
            out_of_range("updated_at", 1_000_000_000),
        ),
        (|i| i.history = None, Corrupt::Missing("history")),
        (
            |i| {
                i.inbox.push(wire::InboxMessage {
                    kind: 99,
                    ..Default::default()
                })
            },
            out_of_range("inbox kind", 99),
        ),
        (
            |i| {
                i.inbox.push(wire::InboxMessage {
                    kind: wire::InboxKind::TimerFired.into(),
                    ..Default::default()
                })
            },
            Corrupt::Missing("fire_at"),
        ),
        (
            |i| {
                i.locks.push(wire::HeldLocks {
                    hold: 4,
                    ..Default::default()
                })
            },
            out_of_range("hold", 4),
        ),
        (
            |i| i.timers.push(wire::Timer::default()),
            Corrupt::Missing("fire_at"),
        ),
        (
            |i| i.children = vec![wire::Child::default(), wire::Child::default()],
            Corrupt::Repeated("children"),
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(flaw_of_instance(change), expected);
    }
}

type EntityDamage = fn(&mut wire::Entity);

/// What is wrong with an entity that `change` has damaged.
fn flaw_of_entity(change: impl FnOnce(&mut wire::Entity)) -> Corrupt {
    let mut record = wire::Entity {
        created_at: Some(wire::Timestamp::default()),
        ..wire::Entity::default()
    };
    decode_entity(envelope::seal(&record)).expect("the undamaged record is well formed");
    change(&mut record);
    decode_entity(envelope::seal(&record)).expect_err("damaged")
}

#[test]
fn wrong_fields_of_an_entity_are_named() {
    use wire::entity::{Queued, RecentRequest, Scheduled, queued::Queued as Body};
    let scheduled = || Scheduled {
        due: Some(wire::Timestamp::default()),
        operation: Some(wire::EntityOperation::default()),
        ..Scheduled::default()
    };
    let cases: [(EntityDamage, Corrupt); 6] = [
        (|e| e.created_at = None, Corrupt::Missing("created_at")),
        (
            |e| e.lock = Some(wire::CriticalSection::default()),
            Corrupt::Missing("owner"),
        ),
        (
            |e| {
                e.owner_lane.push(wire::EntityOperation {
                    request_id: Bytes::from_static(b"\xFF"),
                    ..Default::default()
                })
            },
            Corrupt::NotText("request id"),
        ),
        (
            |e| e.queue.push(Queued { queued: None }),
            Corrupt::Missing("queued"),
        ),
        (
            |e| {
                let queued = Some(Body::Lock(wire::LockRequest::default()));
                e.queue.push(Queued { queued })
            },
            Corrupt::Missing("critical section"),
        ),
        (
            |e| e.recent.push(RecentRequest::default()),
            Corrupt::Missing("time of the request"),
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(flaw_of_entity(change), expected);
    }
    let twice = flaw_of_entity(|e| e.scheduled = vec![scheduled(), scheduled()]);
    assert_eq!(twice, Corrupt::Repeated("scheduled"));
    let never_due = flaw_of_entity(|e| {
        e.scheduled.push(Scheduled {
            due: None,
            ..scheduled()
        })
    });
    assert_eq!(never_due, Corrupt::Missing("due"));
    let nothing_due = flaw_of_entity(|e| {
        e.scheduled.push(Scheduled {
            operation: None,
            ..scheduled()
        })
    });
    assert_eq!(nothing_due, Corrupt::Missing("operation"));
}

#[test]
fn wrong_fields_of_commands_are_named() {
    assert_eq!(flaw_of_command(None), Corrupt::Missing("command"));
    let raise = wire::command::RaiseEvent::default();
    assert_eq!(
        flaw_of_command(Some(Body::RaiseEvent(raise))),
        Corrupt::Missing("instance key")
    );
    let create = wire::command::CreateInstance {
        key: Some(key()),
        ..Default::default()
    };
    assert_eq!(
        flaw_of_command(Some(Body::CreateInstance(create))),
        Corrupt::Missing("creation")
    );
    let ack = wire::command::AckOutbox {
        target: 65_536,
        through: 1,
    };
    let too_large = Corrupt::OutOfRange {
        field: "partition",
        value: 65_536,
    };
    assert_eq!(flaw_of_command(Some(Body::AckOutbox(ack))), too_large);
    let deliver = wire::command::Deliver {
        messages: vec![wire::Message {
            target: Some(key()),
            body: None,
        }],
        ..Default::default()
    };
    assert_eq!(
        flaw_of_command(Some(Body::Deliver(deliver))),
        Corrupt::Missing("message body")
    );
    let turn = wire::CompleteTurn {
        key: Some(key()),
        started_at: Some(wire::Timestamp::default()),
        messages: vec![wire::complete_turn::Outgoing { outgoing: None }],
        ..Default::default()
    };
    assert_eq!(
        flaw_of_command(Some(Body::CompleteTurn(turn))),
        Corrupt::Missing("outgoing message")
    );
}

#[test]
fn wrong_fields_of_commands_about_entities_are_named() {
    use wire::message as m;
    let signal = wire::command::SignalEntity {
        key: Some(key()),
        request_id: Bytes::from_static(b"\xFF"),
        ..Default::default()
    };
    assert_eq!(
        flaw_of_command(Some(Body::SignalEntity(signal))),
        Corrupt::NotText("request id")
    );
    let sent = |body| {
        let batch = wire::command::CompleteBatch {
            key: Some(key()),
            messages: vec![wire::Message {
                target: Some(key()),
                body: Some(body),
            }],
            ..Default::default()
        };
        flaw_of_command(Some(Body::CompleteBatch(batch)))
    };
    let cases = [
        (
            m::Body::Operation(m::Operation::default()),
            Corrupt::Missing("operation"),
        ),
        (
            m::Body::Lock(wire::LockRequest::default()),
            Corrupt::Missing("critical section"),
        ),
        (
            m::Body::Unlock(m::Unlock::default()),
            Corrupt::Missing("owner"),
        ),
        (
            m::Body::LockGranted(wire::CriticalSection::default()),
            Corrupt::Missing("owner"),
        ),
        (
            m::Body::Rewind(m::RewindChild::default()),
            Corrupt::Missing("creation"),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(sent(body), expected);
    }
}

#[test]
fn wrong_fields_of_a_partition_row_are_named() {
    let decode = |state| {
        let row = wire::PartitionRow {
            state,
            ..Default::default()
        };
        decode_partition_row(envelope::seal(&row)).expect_err("damaged")
    };
    assert_eq!(decode(None), Corrupt::Missing("partition state"));
    let three = wire::PartitionState {
        partition_count: 3,
        ..Default::default()
    };
    let not_a_power = Corrupt::OutOfRange {
        field: "partition count",
        value: 3,
    };
    assert_eq!(decode(Some(three)), not_a_power);
}

#[test]
fn a_manifest_cannot_name_files_elsewhere() {
    for name in ["", "..", ".hidden", "a/b", "/etc/passwd", "a\0"] {
        let manifest = wire::SnapshotManifest {
            applied: Some(wire::Position::default()),
            format: wire::FileFormat::Sst.into(),
            files: vec![wire::SnapshotFile {
                name: name.to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let refused = SnapshotManifest::decode(envelope::seal(&manifest));
        assert_eq!(refused, Err(Corrupt::FileName(name.to_owned())));
    }
    let unspecified = wire::SnapshotManifest {
        applied: Some(wire::Position::default()),
        ..Default::default()
    };
    let refused = SnapshotManifest::decode(envelope::seal(&unspecified));
    assert_eq!(
        refused,
        Err(Corrupt::OutOfRange {
            field: "file format",
            value: 0
        })
    );
}

#[test]
fn fields_of_newer_versions_are_skipped() {
    let mut record = envelope::seal(&instance()).to_vec();
    wire_field(&mut record, 1000, b"whatever");
    decode_instance(record.into()).expect("unknown fields are allowed");
}

fn wire_field(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    prost::encoding::bytes::encode(tag, &value.to_vec(), out);
}
