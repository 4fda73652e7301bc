//! What runs left behind whose process was killed: found by their directories, and removed before the next run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{disk, network::Network, run_id::RunId};
use crate::command::undo;

/// In a run's directory: the id of its process.
const OWNER: &str = "owner";
/// No run has more nodes.
const NODES_MAX: usize = 16;

/// Marks a run's directory as this process's.
///
/// # Errors
/// If it cannot be written.
pub(super) fn own(directory: &Path) -> Result<()> {
    Ok(fs::write(
        directory.join(OWNER),
        std::process::id().to_string(),
    )?)
}

/// Removes what is left of runs below `parent` whose process is no more. Whatever is not certainly that stays.
pub(super) fn remove(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let directory = entry.path();
        if let Some(id) = RunId::of(&directory)
            && is_abandoned(&directory)
        {
            println!("removing what run {id} left behind");
            take_down(id, &directory);
        }
    }
}

fn is_abandoned(directory: &Path) -> bool {
    let Ok(owner) = fs::read_to_string(directory.join(OWNER)) else {
        // Somebody is just about to write it.
        return false;
    };
    let is_number = !owner.is_empty() && owner.bytes().all(|byte| byte.is_ascii_digit());
    is_number && !Path::new("/proc").join(owner).exists()
}

fn take_down(id: RunId, directory: &Path) {
    drop(Network::abandoned(id, NODES_MAX));
    for place in mounted_below(directory) {
        undo("umount", &["-l", &place.to_string_lossy()]);
    }
    for node in 0..NODES_MAX {
        for image in disk::images(id, node, directory) {
            // Few of them exist.
            let _ = fs::remove_file(image);
        }
    }
    if let Err(failure) = fs::remove_dir_all(directory) {
        eprintln!("left behind: {}: {failure}", directory.display());
    }
}

fn mounted_below(directory: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    places
        .map(PathBuf::from)
        .filter(|place| place.starts_with(directory))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_runs_whose_process_is_gone_are_abandoned() {
        let (id, directory) = RunId::claim(&std::env::temp_dir()).expect("a directory");
        assert_eq!(RunId::of(&directory), Some(id));
        assert!(!is_abandoned(&directory), "not marked yet");
        own(&directory).expect("writable");
        assert!(!is_abandoned(&directory), "this process runs");
        // No process has so high an id.
        fs::write(directory.join(OWNER), "999999999").expect("writable");
        assert!(is_abandoned(&directory));
        fs::write(directory.join(OWNER), "self").expect("writable");
        assert!(!is_abandoned(&directory));
        fs::remove_dir_all(&directory).expect("ours");
    }
}
