//! Directories across restarts, and the ones that must be refused.

use std::fs;

use tempfile::TempDir;

use super::*;

const FRESH: Fresh = Fresh {
    directory: [0xD1; 16],
    now: SystemTime::UNIX_EPOCH,
};
const OTHER: Fresh = Fresh {
    directory: [0xFF; 16],
    now: SystemTime::UNIX_EPOCH,
};
const MEMBERSHIP: Membership = Membership {
    cluster_id: [0xC1; 16],
    node: NodeId(3),
};

fn open(dir: &TempDir) -> Result<DataDir, OpenError> {
    DataDir::open(dir.path(), FRESH)
}

/// Opening fails, with a message that has every part.
fn check_refused(dir: &TempDir, parts: &[&str]) {
    let error = open(dir).expect_err("must be refused").to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} in {error:?}");
    }
}

fn new_dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn identity_is_made_once_and_kept() {
    let dir = new_dir();
    let mut first = open(&dir).expect("new");
    assert_eq!(first.identity().directory, FRESH.directory);
    assert_eq!(first.identity().created, "1970-01-01T00:00:00Z");
    assert!(!first.identity().has_log);
    assert_eq!(first.identity().membership, None);
    first.note_log().expect("written");
    first.become_member(MEMBERSHIP).expect("nobody's");
    let identity = first.identity().clone();
    drop(first);

    let second = DataDir::open(dir.path(), OTHER).expect("ours");
    let later = Identity {
        incarnation: identity.incarnation + 1,
        ..identity
    };
    assert_eq!(second.identity(), &later);
    assert!(later.has_log);
    assert_eq!(later.membership, Some(MEMBERSHIP));
}

#[test]
fn every_start_has_a_number_of_its_own() {
    let dir = new_dir();
    for start in 1..4 {
        assert_eq!(open(&dir).expect("ours").identity().incarnation, start);
    }
}

#[test]
fn a_node_never_becomes_another_one() {
    let dir = new_dir();
    let mut data = open(&dir).expect("new");
    data.become_member(MEMBERSHIP).expect("nobody's");
    data.become_member(MEMBERSHIP).expect("the same");
    let other = Membership {
        node: NodeId(4),
        ..MEMBERSHIP
    };
    let error = data.become_member(other).expect_err("taken").to_string();
    for part in ["node 3", "c1c1", "--data"] {
        assert!(error.contains(part), "{part:?} in {error:?}");
    }
    assert_eq!(data.identity().membership, Some(MEMBERSHIP));
}

#[test]
fn missing_directories_are_created_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = new_dir();
    let path = dir.path().join("a/b");
    let data = DataDir::open(&path, FRESH).expect("created");
    assert!(data.path().ends_with("a/b"));
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn second_use_is_refused_and_names_the_holder() {
    let dir = new_dir();
    let first = open(&dir).expect("new");
    check_refused(&dir, &[&std::process::id().to_string(), "--data"]);
    drop(first);
    open(&dir).expect("free again");
}

#[test]
fn other_formats_are_refused() {
    let dir = new_dir();
    let new_format = r#"{"format": 7, "cluster_id": 5, "node": {"id": 1}}"#;
    fs::write(dir.path().join("identity.json"), new_format).expect("written");
    check_refused(&dir, &["format 7", "format 2", "identity.json"]);
}

#[test]
fn damaged_identities_are_refused() {
    let dir = new_dir();
    let mut data = open(&dir).expect("new");
    data.become_member(MEMBERSHIP).expect("nobody's");
    drop(data);
    let path = dir.path().join("identity.json");
    let good = fs::read_to_string(&path).expect("there");
    for bad in [
        String::new(),
        good[..good.len() / 2].to_owned(),
        good.replace("c1c1", "c1"),
        good.replace("\"node_id\": 3", "\"node_id\": null"),
        good.replace("\"node_id\": 3", "\"node_id\": -1"),
        good.replace("d1d1", "+1d1"),
        good.replace("\"has_log\"", "\"has_a_log\""),
    ] {
        assert_ne!(bad, good);
        fs::write(&path, bad).expect("written");
        check_refused(&dir, &["damaged", "identity.json"]);
    }
    fs::write(&path, good).expect("written");
    open(&dir).expect("whole again");
}

#[test]
fn data_without_identity_is_refused() {
    for found in ["wal", "state"] {
        let dir = new_dir();
        fs::create_dir(dir.path().join(found)).expect("created");
        check_refused(&dir, &[found, "identity.json"]);
    }
    let volume = new_dir();
    fs::create_dir(volume.path().join("lost+found")).expect("created");
    open(&volume).expect("not ours, so no concern of ours");
}

#[test]
fn ephemeral_directories_vanish() {
    let data = DataDir::ephemeral(FRESH).expect("created");
    let path = data.path().to_owned();
    assert_eq!(data.sync(), Sync::Never);
    assert!(path.join("identity.json").exists());
    drop(data);
    assert!(!path.exists());
}
