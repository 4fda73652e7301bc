//! Runs of activities, written to a file before they are answered: what really happened, whatever the nodes say.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, Result};

use crate::record::Effect;

/// A file of JSON lines that several workers append to. A killed one leaves at most one torn line.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    /// Tells this process from all others that write to the file.
    writer: String,
    runs: AtomicU64,
}

impl Ledger {
    /// Opens or makes the file, for a writer of this name, which no other has.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: &Path, writer: &str) -> Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| path.display().to_string())?;
        Ok(Self {
            file,
            writer: writer.to_owned(),
            runs: AtomicU64::new(0),
        })
    }

    /// A name that no other run of an activity has.
    pub fn next_nonce(&self) -> String {
        format!(
            "{}-{}",
            self.writer,
            self.runs.fetch_add(1, Ordering::Relaxed)
        )
    }

    /// Writes down one run, in one write.
    ///
    /// # Panics
    /// If it cannot be written: the verdict would rest on a lie.
    pub fn append(&self, effect: &Effect) {
        let mut line = serde_json::to_vec(effect).expect("plain data");
        // A line that begins with a newline cannot be spoilt by a torn one before it.
        line.insert(0, b'\n');
        (&self.file)
            .write_all(&line)
            .expect("the ledger is writable");
    }

    /// Every whole line.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(path: &Path) -> Result<Vec<Effect>> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => vec![],
            Err(fault) => return Err(fault).with_context(|| path.display().to_string()),
        };
        let lines = text.split(|byte| *byte == b'\n');
        Ok(lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect())
    }
}
