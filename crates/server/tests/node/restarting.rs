//! What a node finds again in its directory, and directories it refuses.

use std::fs;

use crate::support::{connect_to, new_dir, start, start_in};

#[tokio::test(flavor = "multi_thread")]
async fn restarted_node_has_its_identity_and_hubs() {
    let dir = new_dir();
    let node = start_in(&dir).await;
    let cluster = node.about().cluster.clone();
    connect_to(&node, "made-by-use")
        .await
        .hello()
        .await
        .expect("made on its first use");
    node.stop().await;

    let node = start(&dir, |config| config.hubs.dynamic = false)
        .await
        .expect("starts");
    assert_eq!(node.about().cluster, cluster);
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
        ("hubs.json", ["hubs.json", "missing"]),
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
