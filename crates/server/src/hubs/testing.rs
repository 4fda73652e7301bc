//! Lists of task hubs in temporary directories.

use std::path::Path;

use longhaul_types::HubName;
use tempfile::TempDir;

use super::{Creation, HubRegistry, Opening, RegistryError};
use crate::config::Config;
use crate::data_dir::Sync;
use crate::fault::FaultHandler;

pub(crate) fn opening(dir: &Path, creation: Creation) -> Opening {
    Opening {
        path: dir.join("hubs.json"),
        sync: Sync::Always,
        must_exist: false,
        creation,
        retention: Config::server().retention,
        on_fault: FaultHandler::new(|cause| panic!("{cause}")),
    }
}

pub(crate) fn open(dir: &TempDir, creation: Creation) -> Result<HubRegistry, RegistryError> {
    HubRegistry::open(opening(dir.path(), creation))
}

pub(crate) fn name(name: &str) -> HubName {
    HubName::parse(name).expect("valid")
}

pub(crate) fn new_dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}
