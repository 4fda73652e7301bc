//! Each node's own file system, so that it can be full, or lose power, alone.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use super::{network::NodeIndex, run_id::RunId};
use crate::command::{run, undo};

/// Larger than the log, its reserve and the state of a run; smaller than what takes long to fill.
const IMAGE_BYTES: u64 = 768 << 20;
const MEMORY: &str = "/dev/shm";
const BALLAST: &str = "ballast";
const BALLAST_PIECE_BYTES: usize = 1 << 20;

/// The `ioctl` that takes a file system's power, as `xfs_io -c shutdown` does: nothing unwritten is written any more.
const LOSE_POWER: &str = "import fcntl, os, struct, sys\n\
    fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

/// Where a node's image may be: in memory, or else in the run's directory.
pub(super) fn images(id: RunId, node: NodeIndex, directory: &Path) -> [PathBuf; 2] {
    let name = format!("longhaul-chaos-{id}-n{node}.img");
    [Path::new(MEMORY), directory].map(|parent| parent.join(&name))
}

/// A place for one node's data.
#[derive(Debug)]
pub struct Disk {
    place: PathBuf,
    image: Option<PathBuf>,
}

impl Disk {
    /// An ext4 image at `image`, mounted at `place`.
    ///
    /// # Errors
    /// Where that is not allowed; nothing is left behind.
    pub fn image(place: PathBuf, image: PathBuf) -> Result<Self> {
        fs::create_dir_all(&place)?;
        fs::File::create(&image)?.set_len(IMAGE_BYTES)?;
        let disk = Self {
            place,
            image: Some(image.clone()),
        };
        run("mkfs.ext4", &["-q", "-F", shown(&image)?])?;
        disk.mount()?;
        Ok(disk)
    }

    /// A directory of the machine's own disk.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn directory(place: PathBuf) -> Result<Self> {
        fs::create_dir_all(&place)?;
        Ok(Self { place, image: None })
    }

    /// Whether it can be full or lose power.
    pub fn is_own(&self) -> bool {
        self.image.is_some()
    }

    /// The directory for data.
    pub fn path(&self) -> &Path {
        &self.place
    }

    /// Takes the power and gives it back: what was not synced is gone. Nothing may be running on it but stopped
    /// processes, which are to be killed by `kill`.
    ///
    /// # Errors
    /// If any of it cannot be done, or did not happen.
    pub fn lose_power(&self, kill: impl FnOnce() -> Result<()>) -> Result<()> {
        let image = self
            .image
            .as_ref()
            .context("this disk has no power of its own")?;
        run("python3", &["-c", LOSE_POWER, shown(&self.place)?])?;
        let probe = fs::write(self.place.join("probe"), b"probe");
        ensure!(probe.is_err(), "{} still has power", image.display());
        kill()?;
        run("umount", &[shown(&self.place)?])?;
        self.mount()
    }

    /// Writes until nothing more fits.
    ///
    /// # Errors
    /// If something else than a full disk ends it.
    pub fn fill(&self) -> Result<()> {
        ensure!(
            self.is_own(),
            "filling the machine's own disk would hurt others"
        );
        let ballast = self.place.join(BALLAST);
        let mut ballast = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(ballast)?;
        let piece = vec![b'b'; BALLAST_PIECE_BYTES];
        let mut length = piece.len();
        while length > 0 {
            match ballast
                .write_all(&piece[..length])
                .and_then(|()| ballast.sync_data())
            {
                Ok(()) => {}
                Err(full) if full.kind() == ErrorKind::StorageFull => length /= 2,
                Err(fault) => return Err(fault).context("filling the disk"),
            }
        }
        Ok(())
    }

    /// Undoes [`Disk::fill`].
    ///
    /// # Errors
    /// If the ballast cannot be removed.
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.place.join(BALLAST)).context("the ballast")
    }

    fn mount(&self) -> Result<()> {
        let Some(image) = &self.image else {
            bail!("{} is not mounted", self.place.display());
        };
        run("mount", &["-o", "loop", shown(image)?, shown(&self.place)?])?;
        Ok(())
    }

    fn is_mounted(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let place = self.place.to_string_lossy();
        mounts
            .lines()
            .any(|line| line.split(' ').nth(1) == Some(place.as_ref()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(image) = &self.image {
            if self.is_mounted() {
                undo("umount", &["-l", &self.place.to_string_lossy()]);
            }
            let _ = fs::remove_file(image);
        }
    }
}

fn shown(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
