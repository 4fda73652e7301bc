//! What records, checkpoints and searches cost. Run with
//! `cargo test --release -p longhaul-storage --lib -- --ignored --nocapture measure`.

use longhaul_engine::Status;
use longhaul_engine::key::InstanceKey;
use longhaul_engine::query::{EndedFilter, InstanceFilter, Span, StatusSet};
use longhaul_engine::tables::Tables;
use longhaul_types::{HubId, InstanceId};

use super::super::PartitionTables;
use super::world::{PARTITION, state};
use crate::records::{
    Position, decode_batch, decode_instance, encode_batch, put_instance, samples,
};
use crate::rows::Store;
use crate::testing::OnDisk;

const INSTANCES: u32 = 4_000;
const ROUNDS: u32 = 5;

/// Time this thread has run, whatever else the machine does.
fn cpu_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).expect("it counts from zero")
}

/// Prints the CPU time of one of `count` things that `work` does.
fn measure<T>(what: &str, count: u32, work: impl FnOnce() -> T) -> T {
    let start = cpu_nanos();
    let result = work();
    let each = (cpu_nanos() - start) / u64::from(count);
    println!("{what:<44} {each:>7} ns");
    result
}

fn keys(count: u32) -> Vec<InstanceKey> {
    // Spread, as random ids are.
    let spread = |number: u32| number.wrapping_mul(2_654_435_761);
    let id = |number| {
        InstanceId::trusted(format!(
            "{:08x}-0123-4567-89ab-cdef01234567",
            spread(number)
        ))
    };
    (0..count)
        .map(|number| InstanceKey::new(HubId(1), id(number)))
        .collect()
}

#[test]
#[ignore = "prints timings, asserts nothing"]
fn measure_records() {
    let batch = samples::batch();
    let commands = u32::try_from(batch.commands.len()).expect("few");
    let entry = encode_batch(&batch);
    println!("a batch of {commands} commands: {} bytes", entry.len());
    let rounds = 20_000;
    measure("encode a command of the batch", rounds * commands, || {
        (0..rounds)
            .map(|_| encode_batch(&batch).len())
            .sum::<usize>()
    });
    measure("decode a command of the batch", rounds * commands, || {
        (0..rounds)
            .filter(|_| decode_batch(entry.clone()).is_ok())
            .count()
    });
    for (name, instance) in [
        ("a typical instance", samples::typical_instance()),
        ("a full one", samples::instance()),
    ] {
        let mut record = Vec::new();
        put_instance(&instance, &mut record);
        println!("{name}: {} bytes", record.len());
        measure("encode it", rounds, || {
            for _ in 0..rounds {
                record.clear();
                put_instance(&instance, &mut record);
            }
        });
        let record = bytes::Bytes::from(record);
        measure("decode it", rounds, || {
            (0..rounds)
                .filter(|_| decode_instance(record.clone()).is_ok())
                .count()
        });
    }
}

#[test]
#[ignore = "prints timings, asserts nothing"]
fn measure_checkpoints() {
    let disk = OnDisk::new();
    let rows = disk.store_rows();
    let mut tables = PartitionTables::open(rows, state(), usize::MAX).expect("opened");
    let keys = keys(INSTANCES);
    let instance = samples::typical_instance();
    let copies = vec![instance; keys.len()];
    measure("put a new instance", INSTANCES, || {
        for (key, instance) in keys.iter().zip(copies) {
            if tables.instance(key).expect("read").is_none() {
                tables.put_instance(key.clone(), instance);
            }
        }
    });
    for round in 1..=ROUNDS {
        println!("round {round}");
        tables.set_applied(Position {
            term: 1,
            index: round.into(),
        });
        let checkpoint = measure("freeze, per instance", INSTANCES, || tables.freeze());
        let checkpoint = checkpoint.expect("changed");
        let mut record = Vec::new();
        measure("encode, per instance", INSTANCES, || {
            for key in &keys {
                let instance = tables.instance(key).expect("read").expect("there");
                record.clear();
                put_instance(instance, &mut record);
            }
        });
        measure("change while frozen (copies)", INSTANCES / 10, || {
            for key in keys.iter().step_by(10) {
                tables
                    .instance_mut(key)
                    .expect("read")
                    .expect("there")
                    .turns += 1;
            }
        });
        let written = measure("write, per instance", INSTANCES, || checkpoint.write());
        let written = written.expect("written");
        measure("complete, per instance", INSTANCES, || {
            tables.complete(written)
        });
        measure("look up", INSTANCES, || {
            keys.iter()
                .filter(|key| tables.instance(key).expect("read").is_some())
                .count()
        });
        measure("change (first in a generation)", INSTANCES, || {
            for key in &keys {
                tables
                    .instance_mut(key)
                    .expect("read")
                    .expect("there")
                    .turns += 1;
            }
        });
        measure("change again", INSTANCES, || {
            for key in &keys {
                tables
                    .instance_mut(key)
                    .expect("read")
                    .expect("there")
                    .turns += 1;
            }
        });
    }
    tables.write_through().expect("written");
    measure("flush, per instance", INSTANCES, || {
        tables.durability().flush()
    })
    .expect("flushed");
    let rows = disk.store_rows();
    let mut cold = PartitionTables::open(rows, state(), usize::MAX).expect("opened");
    measure("load from disk", INSTANCES, || {
        keys.iter()
            .filter(|key| cold.instance(key).expect("read").is_some())
            .count()
    });
    let estimate = cold.statistics().resident_bytes / INSTANCES as usize;
    println!("estimated memory of a loaded instance: {estimate} bytes");
    let absent = InstanceKey::new(HubId(2), InstanceId::trusted("absent"));
    let mut number = 0;
    measure("look up what does not exist", INSTANCES, || {
        for _ in 0..INSTANCES {
            number += 1;
            let key = InstanceKey::new(HubId(number), absent.id.clone());
            assert!(cold.instance(&key).expect("read").is_none());
        }
    });
    let mut after = None;
    measure("page through active instances", INSTANCES, || {
        loop {
            let page = cold.active(after.as_ref(), 1_000).expect("read");
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
        }
    });
}

#[test]
#[ignore = "prints timings, asserts nothing"]
fn measure_looks() {
    const MANY: u32 = 100_000;
    const DIRTY: usize = 10_000;
    let disk = OnDisk::new();
    let mut tables = PartitionTables::open(disk.store_rows(), state(), usize::MAX).expect("opened");
    let keys = keys(MANY);
    for (number, key) in keys.iter().enumerate() {
        let mut instance = samples::typical_instance();
        instance.created_at.seconds += i64::try_from(number).expect("few");
        instance.status = match number % 10_000 {
            9_999 => Status::Failed,
            _ => Status::Running,
        };
        instance.completed_at = instance.status.is_terminal().then_some(instance.created_at);
        tables.put_instance(key.clone(), instance);
    }
    let mut index = 0;
    let mut checkpoint = |tables: &mut PartitionTables| {
        index += 1;
        tables.set_applied(Position { term: 1, index });
        tables.write_through().expect("written");
        tables.durability().flush().expect("flushed");
    };
    checkpoint(&mut tables);
    for dirty in [0, DIRTY] {
        println!("{MANY} instances, {dirty} of them unwritten");
        for key in keys.iter().step_by(MANY as usize / DIRTY).take(dirty) {
            let found = tables.instance_mut(key).expect("read");
            found.expect("there").turns += 1;
        }
        let look = measure("look", 1, || tables.look()).expect("looked");
        let any = InstanceFilter {
            hub: HubId(1),
            statuses: StatusSet::ALL,
            created: Span::default(),
            id_prefix: String::new(),
        };
        let page = |what, filter: &InstanceFilter| {
            let found = measure(what, 1, || look.instances(filter, None, 100));
            println!("    {} found", found.expect("read").len());
        };
        page("the first 100", &any);
        let rare = InstanceFilter {
            statuses: StatusSet::NONE.with(Status::Failed),
            ..any.clone()
        };
        page("100 of a rare status", &rare);
        let of_one = |prefix: &str| InstanceFilter {
            id_prefix: prefix.to_owned(),
            ..any.clone()
        };
        page("100 with a prefix that 1 in 256 has", &of_one("00"));
        page("100 with a prefix that 1 in 65,536 has", &of_one("0000"));
        page("100 with a prefix that none has", &of_one("none"));
        measure("count", 1, || look.count(HubId(1))).expect("counted");
        let ended = EndedFilter {
            hub: HubId(1),
            statuses: StatusSet::ALL,
            completed: Span::default(),
        };
        measure("100 ended", 1, || look.ended(&ended, None, 100)).expect("read");
        drop(look);
        for key in &keys[..100] {
            let found = tables.instance_mut(key).expect("read");
            found.expect("there").turns += 1;
        }
        let look = measure("a look 100 changes later", 1, || tables.look()).expect("looked");
        measure("the first 100 of it", 1, || look.instances(&any, None, 100)).expect("read");
        drop(look);
        measure("checkpoint", 1, || checkpoint(&mut tables));
    }
}

impl OnDisk {
    fn store_rows(&self) -> std::sync::Arc<dyn crate::rows::Rows> {
        self.rocks().partition(PARTITION).expect("opened")
    }
}
