//! D9: one bit of one file of a node that does not run is another one.

use anyhow::Result;

use super::{Expects, Fault, Hits, SEVERAL};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "D9",
    what: "bit flip",
    needs: SEVERAL,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

use std::{
    fs,
    path::{Path, PathBuf},
};

async fn round(scene: &mut Scene) -> Result<Round> {
    let victim = scene.any();
    let began = scene.now();
    scene.node(victim).kill()?;
    let data = scene.node(victim).data();
    let files = files(&data)?;
    anyhow::ensure!(!files.is_empty(), "{} is empty", data.display());
    let file = &files[scene.dice.index(files.len())];
    let mut content = fs::read(file)?;
    let bit = scene.dice.index(content.len() * 8);
    content[bit / 8] ^= 1 << (bit % 8);
    fs::write(file, content)?;
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    // It notices, and is emptied then, or nothing depended on the bit.
    let outcome = match scene.restart(victim).await {
        Ok(()) => "harmless",
        Err(_) => {
            scene.node(victim).end()?;
            scene.wipe(victim)?;
            scene.restart(victim).await?;
            scene.lab.settled().await?;
            "refused, then emptied"
        }
    };
    Ok(scene.over(began, vec![victim], format!("{name}: {outcome}")))
}

/// Files that have content, in an order that repeats itself.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else if entry.metadata()?.len() > 0 {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
