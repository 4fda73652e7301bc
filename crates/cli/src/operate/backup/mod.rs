//! `longhaul backup`: a copy of a running cluster in a directory, and whether such a copy is whole.
//!
//! ```text
//! DIR/partition-00000.rows …   the rows of each partition, in order of keys, as `rows` reads and writes them
//! DIR/manifest.json            what they are, with a checksum of each; written last, so that a copy without it is none
//! ```
//!
//! The copies are taken as of one moment: what one partition had sent, another has received or will be sent again, and
//! nothing was received that was not sent ([`cut`]). The server's part is in `server/src/admin/backup`.

mod create;
pub mod cut;
pub mod manifest;
pub mod rows;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Failure, Outcome, Session, Target};

pub use verify::{Problem, problems};

/// What to do with a backup.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Copy everything that a running cluster holds into a directory
    Create {
        /// A new or empty directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,

        /// The cluster
        #[command(flatten)]
        target: Target,
    },
    /// Check that a backup is whole and that its partitions fit together; asks no server
    Verify(VerifyArgs),
}

/// Which backup to check.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The directory given to `backup create`
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = super::Output::Table)]
    output: super::Output,
}

pub(super) async fn execute(
    command: BackupCommand,
    session: &mut Session<'_>,
) -> Result<Outcome, Failure> {
    match command {
        BackupCommand::Create { dir, target } => create::execute(&dir, &target, session).await,
        BackupCommand::Verify(VerifyArgs { dir, output }) => verify::execute(&dir, output, session),
    }
}
