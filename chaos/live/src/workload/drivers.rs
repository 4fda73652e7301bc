//! Starts orchestrations, one after the other, and waits for each.

use std::{sync::Arc, time::Duration};

use longhaul_client::{Client, Code, Detail, request_id};
use longhaul_proto::sidecar::CreateInstanceRequest;

use super::{
    Shared, Started,
    calls::{Attempt, Caller},
    shapes::Shape,
};
use crate::{dice::Dice, record::Sighting};

/// How long one call waits for an instance; then it waits anew.
const WAITS_FOR: Duration = Duration::from_secs(5);

/// One after the other until told to stop. Starts go to the first client, reads to the second, so to another node.
pub async fn drive(shared: Arc<Shared>, nth: usize, [client, reader]: [Caller; 2]) {
    let mut dice = Dice::new(shared.seed, &format!("driver {nth}"));
    let mut turn = 0_u64;
    while !shared.stop.is_cancelled() {
        turn += 1;
        let id = format!("{}-d{nth}-{turn}", shared.prefix);
        let shape = choose(&mut dice, &shared);
        if !start(&shared, &client, &id, shape).await {
            continue;
        }
        if dice.index(4) == 0 {
            check_it_is_there(&shared, &reader, &id).await;
        }
        if dice.index(3) == 0 {
            look_at_history(&shared, &reader, &id).await;
        }
        wait(&shared, &reader, &id).await;
        shared
            .completions
            .beat(shared.began.elapsed(), reader.node());
    }
}

/// Starts an instance, insisting; true once it is acknowledged.
pub(super) async fn start(shared: &Shared, client: &Caller, id: &str, shape: Shape) -> bool {
    // One execution id makes one start of all attempts.
    let execution_id = request_id(id, 0);
    let request = CreateInstanceRequest {
        instance_id: id.to_owned(),
        name: shape.name().to_owned(),
        input: Some(shape.input()),
        execution_id: Some(execution_id.clone()),
        ..CreateInstanceRequest::default()
    };
    let started = client
        .insist(shared.ends_within, |client| {
            let request = request.clone();
            async move { client.start(request).await }
        })
        .await;
    match started {
        Ok(_) => shared.seen.lock().started.push(Started {
            id: id.to_owned(),
            shape,
            execution_id,
        }),
        Err(failure) => {
            shared.note(&format!("start of {id}"), &failure);
            return false;
        }
    }
    true
}

/// Waits for the end of an instance, through whatever happens.
pub(super) async fn wait(shared: &Shared, client: &Caller, id: &str) {
    loop {
        let waited = client
            .insist(shared.ends_within, |client| {
                completion(client, id.to_owned())
            })
            .await;
        match waited {
            Ok(Completion::Ended) => return,
            Ok(Completion::NotYet) => {}
            Ok(Completion::Absent) => {
                let mut seen = shared.seen.lock();
                seen.stale_reads
                    .push(format!("{id} was not there to be waited for"));
                return;
            }
            Err(failure) => return shared.note(&format!("end of {id}"), &failure),
        }
    }
}

enum Completion {
    Ended,
    NotYet,
    Absent,
}

async fn completion(client: Client, id: String) -> Result<Completion, longhaul_client::CallError> {
    let waiting = client.wait_for_completion(&id, Detail::Summary);
    match tokio::time::timeout(WAITS_FOR, waiting).await {
        Ok(answer) => Ok(answer?.map_or(Completion::Absent, |_| Completion::Ended)),
        Err(_) => Ok(Completion::NotYet),
    }
}

async fn check_it_is_there(shared: &Shared, reader: &Caller, id: &str) {
    let read = reader
        .call(|client| {
            let id = id.to_owned();
            async move { client.get(&id, Detail::Summary).await }
        })
        .await;
    if let Attempt::Answered(None) = read {
        let node = reader.node();
        let stale = format!("{id} is acknowledged, but not there for a client of {node:?}");
        shared.seen.lock().stale_reads.push(stale);
    }
}

async fn look_at_history(shared: &Shared, reader: &Caller, id: &str) {
    let read = reader
        .call(|client| {
            let id = id.to_owned();
            async move { client.work_item_history(&id, None).await }
        })
        .await;
    match read {
        Attempt::Answered(history) => shared.seen.lock().sightings.push(Sighting {
            instance_id: id.to_owned(),
            history,
        }),
        Attempt::Refused(Code::NotFound, _) => {
            let stale = format!("{id} is acknowledged, but has no history");
            shared.seen.lock().stale_reads.push(stale);
        }
        Attempt::Refused(..) | Attempt::Unavailable(_) | Attempt::InDoubt(_) => {}
    }
}

fn choose(dice: &mut Dice, shared: &Shared) -> Shape {
    let account = |dice: &mut Dice| dice.index(shared.size.accounts);
    match dice.index(6) {
        0 | 1 => Shape::Fan(dice.between(1..=8)),
        2 => {
            let count = dice.between(1..=3);
            Shape::Naps((0..count).map(|_| dice.between(0..=400)).collect())
        }
        3 => {
            let count = dice.between(1..=3);
            Shape::Family((0..count).map(|_| dice.between(0..=3)).collect())
        }
        4 => Shape::Bookings {
            entity: shared.account(account(dice)),
            count: dice.between(1..=4),
        },
        _ => {
            let from = account(dice);
            let to = (from + 1 + dice.index(shared.size.accounts - 1)) % shared.size.accounts;
            Shape::Transfer {
                from: shared.account(from),
                to: shared.account(to),
                amount: i64::try_from(dice.between(1..=9)).expect("one digit"),
            }
        }
    }
}
