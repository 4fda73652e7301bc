//! How much memory and how many threads the store on disk may use.

/// Settings of [`crate::rocks::RocksStore`]; all partitions of the node share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of rows kept in memory after they were read from disk.
    pub block_cache_bytes: usize,
    /// Bytes of written rows kept in memory until they go to disk, over all partitions.
    pub write_buffers_bytes: usize,
    /// The same, of one partition.
    pub partition_write_buffer_bytes: usize,
    /// Threads that write buffers to disk and compact.
    pub background_jobs: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            block_cache_bytes: 64 << 20,
            write_buffers_bytes: 64 << 20,
            partition_write_buffer_bytes: 16 << 20,
            background_jobs: 2,
        }
    }
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// Nothing could be written.
    #[error("background_jobs must be at least 1")]
    NoBackgroundJobs,
    /// One partition could exceed what all of them may use.
    #[error(
        "partition_write_buffer_bytes ({partition}) cannot exceed write_buffers_bytes ({all}), \
         and must be at least {min}", min = PARTITION_WRITE_BUFFER_BYTES_MIN
    )]
    WriteBuffer {
        /// Of one partition.
        partition: usize,
        /// Of all partitions.
        all: usize,
    },
}

/// Smaller buffers would be written out all the time.
const PARTITION_WRITE_BUFFER_BYTES_MIN: usize = 64 << 10;

impl Config {
    /// Checks the settings and their relations.
    ///
    /// # Errors
    /// [`InvalidConfig`] names what does not fit.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        if self.background_jobs == 0 {
            return Err(InvalidConfig::NoBackgroundJobs);
        }
        let allowed = PARTITION_WRITE_BUFFER_BYTES_MIN..=self.write_buffers_bytes;
        if !allowed.contains(&self.partition_write_buffer_bytes) {
            return Err(InvalidConfig::WriteBuffer {
                partition: self.partition_write_buffer_bytes,
                all: self.write_buffers_bytes,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        let default = Config::default();
        assert_eq!(default.validate(), Ok(()));
        let idle = Config {
            background_jobs: 0,
            ..default.clone()
        };
        assert_eq!(idle.validate(), Err(InvalidConfig::NoBackgroundJobs));
        let greedy = Config {
            write_buffers_bytes: 1 << 20,
            ..default.clone()
        };
        assert!(
            greedy
                .validate()
                .expect_err("too large")
                .to_string()
                .contains("16777216")
        );
        let tiny = Config {
            partition_write_buffer_bytes: 1,
            ..default
        };
        assert!(matches!(
            tiny.validate(),
            Err(InvalidConfig::WriteBuffer { .. })
        ));
    }
}
