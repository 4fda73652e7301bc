//! What a deleted task hub leaves behind: nothing.

use std::time::{Duration, Instant};

use longhaul_proto::sidecar::{CreateInstanceRequest, DeleteTaskHubRequest, GetInstanceRequest};
use rustix::process::Signal;

use crate::dev::{Dev, Stub};

const ORDERS: u32 = 40;

async fn start_instance(stub: &mut Stub, id: u32) {
    let request = CreateInstanceRequest {
        instance_id: id.to_string(),
        name: "Order".to_owned(),
        ..CreateInstanceRequest::default()
    };
    stub.start_instance(request).await.expect("started");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_of_a_deleted_hub_are_removed_and_no_others() {
    let dev = Dev::start(&["--ephemeral"]);
    let (mut orders, mut kept) = (dev.stub("orders").await, dev.stub("kept").await);
    for id in 0..ORDERS {
        start_instance(&mut orders, id).await;
    }
    start_instance(&mut kept, 0).await;
    let resident = || dev.metric("longhaul_partition_resident_instances{");
    assert!(resident() > f64::from(ORDERS), "{}", resident());

    let deleted = orders.delete_task_hub(DeleteTaskHubRequest {}).await;
    deleted.expect("allowed in development");
    let deadline = Instant::now() + Duration::from_secs(30);
    while resident() > 1.5 {
        assert!(Instant::now() < deadline, "still {}", resident());
        tokio::task::yield_now().await;
    }
    let request = GetInstanceRequest {
        instance_id: "0".to_owned(),
        get_inputs_and_outputs: false,
    };
    let answer = kept.get_instance(request).await.expect("an answer");
    assert!(answer.into_inner().exists);
    dev.signal(Signal::TERM);
    let (status, log) = dev.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}
