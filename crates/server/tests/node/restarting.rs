//! What a node finds again in its directory, and directories it refuses.

use std::fs;

use longhaul_server::node::Node;

use crate::support::{connect_to, new_dir, start, start_in};

fn cluster_of(node: &Node) -> String {
    let formed = node.about().formed.get();
    formed.expect("it serves").cluster.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_node_has_its_identity_and_hubs() {
    let dir = new_dir();
    let node = start_in(&dir).await;
    let cluster = cluster_of(&node);
    connect_to(&node, "made-by-use")
        .await
        .hello()
        .await
        .expect("made on its first use");
    node.stop().await;

    let node = start(&dir, |config| config.hubs.dynamic = false)
        .await
        .expect("starts");
    assert_eq!(cluster_of(&node), cluster);
    let hubs: Vec<String> = node.hubs().iter().map(ToString::to_string).collect();
    assert_eq!(hubs, ["default", "made-by-use"]);
    node.stop().await;
}

/// The node does not start in `dir`, for a reason that has all of `parts`.
async fn check_refused(dir: &tempfile::TempDir, parts: &[&str]) {
    let error = match start(dir, |_| {}).await {
        Ok(_) => panic!("started, in spite of {parts:?}"),
        Err(error) => format!("{error:#}"),
    };
    for part in parts {
        assert!(error.contains(part), "{part:?} in {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn losses_are_noticed() {
    for (lost, parts) in [
        ("state", ["state", "missing"]),
        ("wal", ["wal", "lost"]),
        ("wal.watermark", ["watermark", "missing"]),
        ("identity.json", ["identity.json", "holds wal"]),
    ] {
        let dir = new_dir();
        start_in(&dir).await.stop().await;
        let path = dir.path().join("data").join(lost);
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.expect("there");
        check_refused(&dir, &parts).await;
    }
}

/// What the log still has is not lost; what it has no more is.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_catalog_is_noticed_or_does_not_matter() {
    let dir = new_dir();
    let node = start_in(&dir).await;
    connect_to(&node, "made-by-use")
        .await
        .hello()
        .await
        .expect("made");
    let hubs = node.hubs();
    node.stop().await;
    fs::remove_file(dir.path().join("data/catalog")).expect("there");
    match start(&dir, |config| config.hubs.dynamic = false).await {
        Ok(node) => {
            assert_eq!(node.hubs(), hubs);
            node.stop().await;
        }
        Err(error) => assert!(format!("{error:#}").contains("catalog"), "{error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_two_nodes_do_not_make_one() {
    for part in ["state", "wal"] {
        let dirs = [new_dir(), new_dir()];
        for dir in &dirs {
            start_in(dir).await.stop().await;
        }
        let [ours, theirs] = dirs
            .each_ref()
            .map(|dir| dir.path().join("data").join(part));
        fs::remove_dir_all(&ours).expect("there");
        fs::rename(&theirs, &ours).expect("moved");
        check_refused(&dirs[0], &["node", part]).await;
    }
}
