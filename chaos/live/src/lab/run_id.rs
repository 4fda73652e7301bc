//! Whose things these are: a number in the name of everything that a run makes.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// As many runs as there are subnets for them.
const IDS: u16 = 512;
const DIRECTORY: &str = "longhaul-chaos-";

/// A run's number, no other's as long as its directory exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunId(u16);

impl RunId {
    /// Claims a number, by making the directory of that run.
    ///
    /// # Errors
    /// If no directory can be made below `parent`.
    pub fn claim(parent: &Path) -> Result<(Self, PathBuf)> {
        let first = u16::try_from(std::process::id() % u32::from(IDS)).unwrap_or(0);
        for offset in 0..IDS {
            let id = Self((first + offset) % IDS);
            let directory = parent.join(format!("{DIRECTORY}{id}"));
            match fs::create_dir(&directory) {
                Ok(()) => return Ok((id, directory)),
                Err(taken) if taken.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(fault) => return Err(fault).with_context(|| directory.display().to_string()),
            }
        }
        bail!("{} holds the directories of {IDS} runs", parent.display())
    }

    /// The run that a directory belongs to, if it is one's.
    pub(super) fn of(directory: &Path) -> Option<Self> {
        let id = directory.file_name()?.to_str()?.strip_prefix(DIRECTORY)?;
        let id = Self(u16::from_str_radix(id, 16).ok()?);
        (id.0 < IDS).then_some(id)
    }

    /// The third number of its addresses, and whether it is in the upper half of what there is.
    pub(super) fn subnet(self) -> (bool, u8) {
        let [upper, lower] = self.0.to_be_bytes();
        (upper != 0, lower)
    }

    /// The run's part of the names of what it makes; short enough for interfaces.
    pub fn prefix(self) -> String {
        format!("lhc{self}")
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03x}", self.0)
    }
}
