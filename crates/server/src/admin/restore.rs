//! `longhaul restore`: a new cluster of one node that begins with what a backup holds.
//!
//! ```text
//! backup ─► checked ─► DATA.restoring: a founded cluster, its rows and hubs ─► renamed to DATA
//! ```
//!
//! The cluster is another one: it has its own id and secrets, so that nothing that was handed out before is mistaken for
//! its own. Each partition's group begins with the state, on this node alone; others join the running cluster and are
//! given replicas as always. The number of partitions, the ids of hubs and the numbers of messages are those of the
//! backup. What the copied cluster did after the backup never happened for this one, and both must not work for the same
//! outside world at a time.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use longhaul_cli::operate::backup;
use longhaul_cli::operate::backup::manifest::{self, Manifest};
use longhaul_cli::operate::backup::rows::RowReader;
use longhaul_cluster::catalog::{Command, Reply};
use longhaul_cluster::meta::{self, Meta};
use longhaul_partition::{SystemClock, SystemRandomness};
use longhaul_replication::{Applied, Network, NodeId, RemoteConfig, beginning};
use longhaul_storage::records::{Position, decode_partition_row, put_partition_row};
use longhaul_storage::rows::{RowBatch, Rows};
use longhaul_storage::{RocksStore, Store, keys};
use longhaul_types::{HubId, HubName, PartitionId, Timestamp};
use longhaul_wal::{RealFiles, Wal};
use tokio::task::spawn_blocking;

use super::backup::ROWS_FORMAT;
use crate::args::RestoreArgs;
use crate::config::Config;
use crate::data_dir::{DataDir, Fresh};
use crate::fault::FaultHandler;
use crate::membership::{self, MetaParts, Place};
use crate::replicas::Led;
use crate::wiring::{self, Surroundings};

/// Rows that are written at a time.
const BATCH_BYTES: usize = 4 << 20;

/// `longhaul restore`; call it outside any async runtime.
///
/// # Errors
/// The backup is not whole, or the data directory is not empty or cannot be written.
pub fn run(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.node.load(Config::server())?;
    let surroundings = Surroundings {
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness::default()),
        on_fault: FaultHandler::abort(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let manifest = runtime.block_on(restore(&args.backup, &loaded.config, &surroundings))?;
    let said = format!(
        "restored {} partitions of cluster {} as of {} into {}\nserve them with `longhaul server`, with the same \
         settings; nodes that join get replicas by themselves\n",
        manifest.partitions.len(),
        manifest.cluster.id,
        manifest.taken_at,
        loaded.config.node.data_dir.display()
    );
    std::io::stdout().write_all(said.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the configured data directory, which must be empty or missing, hold what `backup` does.
///
/// # Errors
/// As [`run`]. The data directory is as it was then.
pub(crate) async fn restore(
    backup: &Path,
    config: &Config,
    surroundings: &Surroundings,
) -> anyhow::Result<Manifest> {
    let place = || backup.display().to_string();
    let manifest = Manifest::read(backup).with_context(place)?;
    check(backup, &manifest).await.with_context(place)?;
    let target = &config.node.data_dir;
    let draft = draft_of(target)?;

    let mut alone = config.clone();
    alone.node.data_dir.clone_from(&draft);
    alone.cluster.peers.clear();
    alone.cluster.partitions = manifest.cluster.partitions;
    alone.cluster.replicas = manifest.cluster.replicas;
    fill(backup, &manifest, &alone, surroundings).await?;

    // Onto an empty directory, if there is one.
    fs::rename(&draft, target)
        .with_context(|| format!("cannot rename {} to {}", draft.display(), target.display()))?;
    File::open(parent(target))?.sync_all()?;
    Ok(manifest)
}

async fn check(dir: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let format = manifest.rows_format;
    ensure!(
        format == ROWS_FORMAT,
        "its rows have format {format}, this binary reads format {ROWS_FORMAT}; restore it with release {}",
        manifest.version
    );
    let (dir, manifest) = (dir.to_owned(), manifest.clone());
    let problems = spawn_blocking(move || backup::problems(&dir, &manifest)).await?;
    match problems.first() {
        None => Ok(()),
        Some(first) => bail!("it is not whole: {first}"),
    }
}

/// The directory beside the target that becomes it.
fn draft_of(target: &Path) -> anyhow::Result<PathBuf> {
    if target.exists() {
        let mut content =
            fs::read_dir(target).with_context(|| format!("cannot read {}", target.display()))?;
        ensure!(
            content.next().is_none(),
            "{} is not empty: a backup is restored into a new directory",
            target.display()
        );
    }
    let mut name = target
        .file_name()
        .context("node.data_dir has no name")?
        .to_owned();
    name.push(".restoring");
    let draft = parent(target).join(name);
    ensure!(
        !draft.exists(),
        "{} is left of a restore that was interrupted; remove it",
        draft.display()
    );
    Ok(draft)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Founds a cluster in an empty directory, with the rows and hubs of the backup.
async fn fill(
    backup: &Path,
    manifest: &Manifest,
    config: &Config,
    surroundings: &Surroundings,
) -> anyhow::Result<()> {
    let mut directory = [0; 16];
    surroundings.randomness.fill(&mut directory);
    let fresh = Fresh {
        directory,
        now: UNIX_EPOCH + surroundings.clock.now().since(Timestamp::EPOCH),
    };
    let mut data = DataDir::open(&config.node.data_dir, fresh)?;
    let place = Place {
        peers: None,
        clients: config.listen.grpc.clone(),
    };
    let mut member = membership::become_member(config, &mut data, place, surroundings).await?;
    let identity = member.identity;

    let wal = wiring::wal_config(config, &data, &surroundings.on_fault);
    let owner = longhaul_wal::Identity {
        cluster_id: identity.cluster.0,
        node_id: identity.node.0,
    };
    let wal = spawn_blocking(move || Wal::open(wal, owner, Arc::new(RealFiles))).await??;
    let store = RocksStore::open(&data.state_dir(), &wiring::storage_config(config))?;
    wiring::check_owner(&store, &identity, false)?;
    let (from, partitions) = (backup.to_owned(), manifest.partitions.clone());
    let imported = spawn_blocking(move || import_all(&store, &from, &partitions, identity.node));
    imported.await??;
    data.note_log()?;

    let links = member.links(config)?;
    let parts = MetaParts {
        log: wal.group(meta::GROUP),
        network: Network::remote(identity.node, links.clone(), RemoteConfig::default()),
        links,
        hosting: Arc::new(Led::default()),
    };
    let meta = member.join_meta(config, &data, parts, surroundings).await?;
    let catalog = membership::first_catalog(&meta).await?;
    let made = make_hubs(&meta, &manifest.hubs).await;
    meta.stop().await;
    drop((catalog, meta, member));
    made?;
    spawn_blocking(move || wal.close()).await??;
    Ok(())
}

fn import_all(
    store: &RocksStore,
    backup: &Path,
    partitions: &[manifest::Partition],
    node: NodeId,
) -> anyhow::Result<()> {
    let first = beginning(BTreeSet::from([node]));
    for partition in partitions {
        let id = PartitionId(u16::try_from(partition.copy.id)?);
        let rows = store.partition(id)?;
        let path = backup.join(&partition.file.name);
        import(&*rows, &path, id, &first).with_context(|| path.display().to_string())?;
        rows.flush()?;
    }
    Ok(())
}

/// Writes the rows of one file; what they say of a place in a log, and of voters, becomes that of a group that begins.
fn import(rows: &dyn Rows, path: &Path, id: PartitionId, first: &Applied) -> anyhow::Result<()> {
    let mut reader = RowReader::new(BufReader::with_capacity(1 << 20, File::open(path)?));
    let mut batch = RowBatch::default();
    let mut found = false;
    while let Some((key, value)) = reader.next()? {
        if key == keys::PARTITION {
            found = true;
            let mut row = decode_partition_row(Bytes::from(value))?;
            ensure!(
                row.state.id == id,
                "these are the rows of partition {}",
                row.state.id
            );
            row.applied = first.position.map(|it| Position {
                term: it.term,
                index: it.index,
            });
            row.membership.clone_from(&first.membership);
            batch.put_with(&key, |out| put_partition_row(&row, out));
        } else {
            batch.put(&key, &value);
        }
        if batch.bytes() >= BATCH_BYTES {
            rows.write(std::mem::take(&mut batch))?;
        }
    }
    ensure!(found, "the partition's own row is missing");
    Ok(rows.write(batch)?)
}

/// Gives the hubs the ids they had: ids are given in order, so those in between are given, too, and taken back.
async fn make_hubs(meta: &Meta, hubs: &manifest::Hubs) -> anyhow::Result<()> {
    let doomed: BTreeSet<u32> = hubs.doomed.iter().copied().collect();
    for id in 1..=hubs.last_id {
        let listed = hubs.listed.iter().find(|hub| hub.id == id);
        let name = match listed {
            Some(hub) => HubName::parse(&hub.name)?,
            None => spare_name(id, hubs)?,
        };
        let given = decide(meta, Command::CreateHub(name.clone())).await?;
        ensure!(
            given == Reply::Hub(HubId(id)),
            "hub {id} was to be made, and this was: {given:?}"
        );
        if listed.is_none() {
            decide(meta, Command::DeleteHub(name)).await?;
            if !doomed.contains(&id) {
                decide(meta, Command::ForgetHub(HubId(id))).await?;
            }
        }
    }
    Ok(())
}

/// A name that no hub of the backup has.
fn spare_name(id: u32, hubs: &manifest::Hubs) -> anyhow::Result<HubName> {
    let mut name = format!("gone-{id}");
    while hubs
        .listed
        .iter()
        .any(|hub| hub.name.eq_ignore_ascii_case(&name))
    {
        name.push('-');
    }
    Ok(HubName::parse(&name)?)
}

async fn decide(meta: &Meta, command: Command) -> anyhow::Result<Reply> {
    match meta.propose(command).await? {
        Reply::Refused(refusal) => Err(refusal.into()),
        reply => Ok(reply),
    }
}
