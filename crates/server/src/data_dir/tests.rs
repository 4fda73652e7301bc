//! Directories across restarts, and the ones that must be refused.

use std::fs;

use tempfile::TempDir;

use super::*;

const CLUSTER: [u8; 16] = [0xC1; 16];
const FRESH: Fresh = Fresh {
    cluster_id: CLUSTER,
    token_key: [0x0E; 32],
    now: SystemTime::UNIX_EPOCH,
};
const OTHER: Fresh = Fresh {
    cluster_id: [0xFF; 16],
    token_key: [0xFE; 32],
    now: SystemTime::UNIX_EPOCH,
};

fn wanted(count: u16) -> PartitionsWanted {
    PartitionsWanted {
        count: PartitionCount::new(count).expect("a power of two"),
        insisted_by: None,
    }
}

fn open(dir: &TempDir) -> Result<DataDir, OpenError> {
    DataDir::open(dir.path(), &wanted(4), FRESH)
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
    assert_eq!(first.identity().cluster_id, CLUSTER);
    assert_eq!(first.identity().created, "1970-01-01T00:00:00Z");
    assert!(!first.identity().has_log);
    first.note_log().expect("written");
    let identity = first.identity().clone();
    drop(first);

    let second = DataDir::open(dir.path(), &wanted(8), OTHER).expect("ours");
    assert_eq!(second.identity(), &identity);
    assert!(identity.has_log);
    assert_eq!(identity.partitions.get(), 4);
}

#[test]
fn missing_directories_are_created_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = new_dir();
    let path = dir.path().join("a/b");
    let data = DataDir::open(&path, &wanted(4), FRESH).expect("created");
    assert!(data.path().ends_with("a/b"));
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn token_key_is_made_once_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = new_dir();
    let first = open(&dir).expect("new");
    assert_eq!(first.token_key(), FRESH.token_key);
    assert!(!format!("{first:?}").contains("14, 14"), "{first:?}");
    drop(first);
    let path = dir.path().join("secrets.json");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let open_again = || DataDir::open(dir.path(), &wanted(4), OTHER);
    assert_eq!(open_again().expect("ours").token_key(), FRESH.token_key);
    fs::remove_file(&path).expect("there");
    assert_eq!(open_again().expect("ours").token_key(), OTHER.token_key);
    assert_eq!(open(&dir).expect("ours").token_key(), OTHER.token_key);
}

#[test]
fn damaged_secrets_are_refused_without_being_told() {
    let dir = new_dir();
    drop(open(&dir).expect("new"));
    let path = dir.path().join("secrets.json");
    let good = fs::read_to_string(&path).expect("there");
    for bad in [
        String::new(),
        good.replace("0e0e", "0e"),
        good.replace("0e0e", "+e0e"),
        good.replace("\"token_key\"", "\"key\""),
    ] {
        assert_ne!(bad, good);
        fs::write(&path, bad).expect("written");
        check_refused(&dir, &["secrets.json is damaged", "remove it"]);
        let error = open(&dir).expect_err("damaged").to_string();
        assert!(!error.contains("0e0e"), "{error}");
    }
    fs::write(&path, good.replace("\"format\": 1", "\"format\": 7")).expect("written");
    check_refused(&dir, &["format 7", "format 1"]);
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
    let new_format = r#"{"format": 2, "cluster_id": 5, "node": {"id": 1}}"#;
    fs::write(dir.path().join("identity.json"), new_format).expect("written");
    check_refused(&dir, &["format 2", "format 1", "identity.json"]);
}

#[test]
fn damaged_identities_are_refused() {
    let dir = new_dir();
    drop(open(&dir).expect("new"));
    let path = dir.path().join("identity.json");
    let good = fs::read_to_string(&path).expect("there");
    for bad in [
        String::new(),
        good[..good.len() / 2].to_owned(),
        good.replace("c1c1", "c1"),
        good.replace("\"partitions\": 4", "\"partitions\": 5"),
        good.replace("\"node_id\": 1", "\"node_id\": -1"),
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
fn number_of_partitions_never_changes() {
    let dir = new_dir();
    drop(open(&dir).expect("new"));
    let insist = |count| PartitionsWanted {
        insisted_by: Some("cluster.partitions (a.toml, line 2)".to_owned()),
        ..wanted(count)
    };
    let open_with = |wanted| DataDir::open(dir.path(), &wanted, FRESH);
    let error = open_with(insist(16)).expect_err("four").to_string();
    for part in ["4 partitions", "asks for 16", "a.toml, line 2"] {
        assert!(error.contains(part), "{part:?} in {error:?}");
    }
    open_with(insist(4)).expect("as many");
}

#[test]
fn ephemeral_directories_vanish() {
    let data = DataDir::ephemeral(&wanted(4), FRESH).expect("created");
    let path = data.path().to_owned();
    assert_eq!(data.sync(), Sync::Never);
    assert!(path.join("identity.json").exists());
    drop(data);
    assert!(!path.exists());
}
