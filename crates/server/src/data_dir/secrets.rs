//! What only this cluster knows: `secrets.json`, written once and readable by its owner alone.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::durable_file::{self, FileError, Sync};

const FORMAT: u32 = 1;

const FILE_NAME: &str = "secrets.json";

/// Random numbers that nobody else knows.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secrets {
    token_key: [u8; 32],
}

/// Why a directory's secrets cannot be used. Says nothing of what they are.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Written by another release.
    #[error(
        "{path} has format {found}, this binary reads format {FORMAT}; run the release that wrote it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Not what was written.
    #[error(
        "{path} is damaged; restore it from a copy, or remove it: a new one is made then, and workers are given again \
         what they hold"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    /// 64 hex digits.
    token_key: String,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl Secrets {
    pub(super) fn new(token_key: [u8; 32]) -> Self {
        Self { token_key }
    }

    pub(super) fn token_key(&self) -> [u8; 32] {
        self.token_key
    }

    /// The secrets of `dir`; `None` if it has none yet.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, SecretsError> {
        let path = dir.join(FILE_NAME);
        let Some(content) = durable_file::read(&path)? else {
            return Ok(None);
        };
        // The parser's words could quote a part of the secret.
        let damaged = || SecretsError::Damaged { path: path.clone() };
        let FormatOnly { format } = serde_json::from_slice(&content).map_err(|_| damaged())?;
        if format != FORMAT {
            return Err(SecretsError::Format {
                path,
                found: format,
            });
        }
        let record: Record = serde_json::from_slice(&content).map_err(|_| damaged())?;
        let token_key = from_hex(&record.token_key).ok_or_else(damaged)?;
        Ok(Some(Self { token_key }))
    }

    /// Makes these the secrets of `dir`.
    pub(super) fn write(&self, dir: &Path, sync: Sync) -> Result<(), FileError> {
        let record = Record {
            format: FORMAT,
            token_key: to_hex(&self.token_key),
        };
        let mut content =
            serde_json::to_vec_pretty(&record).expect("plain fields have a JSON form");
        content.push(b'\n');
        durable_file::replace(&dir.join(FILE_NAME), &content, sync)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

fn to_hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (nth, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * nth..2 * nth + 2], 16).ok()?;
    }
    Some(bytes)
}
