//! What there is when bad input arrives.

use longhaul_proto::sidecar::{
    CreateInstanceRequest, EntityQuery, InstanceQuery, ListInstanceIdsRequest,
    ListInstanceIdsResponse, QueryEntitiesRequest, QueryEntitiesResponse, QueryInstancesRequest,
    QueryInstancesResponse, RaiseEventRequest, SignalEntityRequest, TerminateRequest,
};
use prost::Message;
use tonic::Code;

use crate::rpc::Rpc;
use crate::testing::connection::{framed, request};
use crate::testing::{Connection, HUB, OTHER_HUB, PENDING_EVENTS_MAX};
use crate::{Config, Limits};

/// An instance that has not begun: nobody works here.
pub(super) const LIVE: &str = "live";
/// An instance that was terminated before it began.
pub(super) const ENDED: &str = "ended";

/// An instance and an entity for which as much waits as may.
pub(super) const FULL: [&str; 2] = ["full", "@counter@full"];

/// Small limits, so that going over them is cheap.
pub(super) fn config() -> Config {
    Config {
        limits: Limits {
            payload_bytes: PAYLOAD_BYTES_MAX,
            actions: ACTIONS_MAX,
            ..Limits::default()
        },
        message_bytes_max: MESSAGE_BYTES_MAX,
        ..Config::default()
    }
}

pub(super) const ACTIONS_MAX: usize = 100;
pub(super) const PAYLOAD_BYTES_MAX: usize = 4 << 10;
pub(super) const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// Tokens that were really returned, for [`super::requests::good`] requests of the default hub.
pub(super) struct World {
    pub(super) instances: String,
    pub(super) ended: String,
    pub(super) entities: String,
    /// Of the same listings in the other hub.
    pub(super) elsewhere: [String; 3],
}

impl World {
    pub(super) async fn make(connection: &Connection) -> Self {
        for hub in [HUB, OTHER_HUB] {
            for id in [LIVE, ENDED, "ended-2", "ended-3"] {
                start(connection, hub, id).await;
            }
            for id in [ENDED, "ended-2", "ended-3"] {
                terminate(connection, hub, id).await;
            }
            for id in ["@counter@a", "@counter@b"] {
                signal(connection, hub, id).await;
            }
        }
        fill(connection).await;
        let [instances, ended, entities] = tokens(connection, HUB).await;
        Self {
            instances,
            ended,
            entities,
            elsewhere: tokens(connection, OTHER_HUB).await,
        }
    }
}

async fn tokens(connection: &Connection, hub: &str) -> [String; 3] {
    let page: QueryInstancesResponse = ask(
        connection,
        hub,
        Rpc::QueryInstances,
        &QueryInstancesRequest {
            query: Some(instance_query()),
        },
    )
    .await;
    let ids: ListInstanceIdsResponse =
        ask(connection, hub, Rpc::ListInstanceIds, &ended_query()).await;
    let entities: QueryEntitiesResponse = ask(
        connection,
        hub,
        Rpc::QueryEntities,
        &QueryEntitiesRequest {
            query: Some(entity_query()),
        },
    )
    .await;
    [
        page.continuation_token,
        ids.last_instance_key,
        entities.continuation_token,
    ]
    .map(|token| token.expect("there is more"))
}

/// Pages of one, so that there is a next one.
pub(super) fn instance_query() -> InstanceQuery {
    InstanceQuery {
        max_instance_count: 1,
        ..Default::default()
    }
}

pub(super) fn ended_query() -> ListInstanceIdsRequest {
    ListInstanceIdsRequest {
        page_size: 1,
        ..Default::default()
    }
}

pub(super) fn entity_query() -> EntityQuery {
    EntityQuery {
        page_size: Some(1),
        include_transient: true,
        ..Default::default()
    }
}

async fn fill(connection: &Connection) {
    let [instance, entity] = FULL;
    start(connection, HUB, instance).await;
    for _ in 0..PENDING_EVENTS_MAX {
        let event = RaiseEventRequest {
            instance_id: instance.into(),
            name: "Paid".into(),
            input: None,
        };
        tell(connection, HUB, Rpc::RaiseEvent, &event).await;
        let signal = SignalEntityRequest {
            instance_id: entity.into(),
            name: "add".into(),
            ..Default::default()
        };
        tell(connection, HUB, Rpc::SignalEntity, &signal).await;
    }
}

async fn start(connection: &Connection, hub: &str, id: &str) {
    let request = CreateInstanceRequest {
        instance_id: id.into(),
        name: "Order".into(),
        ..Default::default()
    };
    tell(connection, hub, Rpc::StartInstance, &request).await;
}

async fn terminate(connection: &Connection, hub: &str, id: &str) {
    let request = TerminateRequest {
        instance_id: id.into(),
        ..Default::default()
    };
    tell(connection, hub, Rpc::TerminateInstance, &request).await;
}

async fn signal(connection: &Connection, hub: &str, id: &str) {
    let request = SignalEntityRequest {
        instance_id: id.into(),
        name: "add".into(),
        request_id: "9e6a3a3c-6f4c-4e0a-8d6c-3c1f5d3b7a21".into(),
        ..Default::default()
    };
    tell(connection, hub, Rpc::SignalEntity, &request).await;
}

async fn tell(connection: &Connection, hub: &str, rpc: Rpc, message: &impl Message) -> Vec<u8> {
    let mut request = request(rpc, framed(&message.encode_to_vec()));
    let name = hub.parse().expect("a header value");
    request.headers_mut().insert("taskhub", name);
    let answered = connection.send(request).await;
    assert_eq!(answered.code(), Some(Code::Ok), "{rpc:?}: {answered:?}");
    answered.message.expect("an answer").to_vec()
}

async fn ask<A: Message + Default>(
    connection: &Connection,
    hub: &str,
    rpc: Rpc,
    message: &impl Message,
) -> A {
    let answer = tell(connection, hub, rpc, message).await;
    A::decode(answer.as_slice()).expect("an answer")
}
