//! Adds to entities with signals, which have an id: one that is in doubt is sent again.

use std::sync::Arc;

use longhaul_client::request_id;
use longhaul_proto::sidecar::SignalEntityRequest;

use super::{Shared, calls::Caller, shapes::ADD};
use crate::{
    dice::Dice,
    record::{Addition, Signal},
};

/// One after the other until told to stop.
pub async fn send(shared: Arc<Shared>, client: Caller) {
    let mut dice = Dice::new(shared.seed, "signals");
    let mut turn = 0_u64;
    while !shared.stop.is_cancelled() {
        turn += 1;
        let entity_id = shared.account(dice.index(shared.size.accounts));
        let addition = Addition {
            tag: format!("signal {turn}"),
            amount: i64::try_from(dice.between(1..=100)).expect("three digits"),
        };
        let request = SignalEntityRequest {
            instance_id: entity_id.clone(),
            name: ADD.to_owned(),
            input: Some(serde_json::to_string(&addition).expect("plain data")),
            request_id: request_id(&shared.prefix, turn),
            ..SignalEntityRequest::default()
        };
        let sent = client
            .insist(shared.ends_within, |client| {
                let request = request.clone();
                async move { client.signal_entity(request).await }
            })
            .await;
        match sent {
            Ok(()) => shared.seen.lock().signals.push(Signal {
                entity_id,
                addition,
            }),
            Err(failure) => shared.note(&format!("signal to {entity_id}"), &failure),
        }
        let pause = dice.millis(20..=80);
        shared
            .stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await;
    }
}
