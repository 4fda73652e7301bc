//! How RocksDB is set up: little memory, few threads, nothing in the background while idle.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, LogLevel, Options, WriteBufferManager};

use crate::config::Config;

/// Keys are looked up that mostly do not exist (every create is one): ten bits let 1 in 100 through to the disk.
const BLOOM_BITS_PER_KEY: f64 = 10.0;
/// Of a write buffer, what its own filter takes: more than ten bits for each row of 100 bytes.
const WRITE_BUFFER_FILTER_PART: f64 = 0.02;
const BLOCK_BYTES: usize = 8 << 10;
const LOG_FILE_BYTES: usize = 4 << 20;
const LOG_FILES: usize = 2;
/// The node's facts are a few small rows.
const FACTS_WRITE_BUFFER_BYTES: usize = 64 << 10;
/// A file in which half of this many neighbouring rows are removals is compacted early.
const REMOVAL_WINDOW_ROWS: usize = 4096;

/// Caches and limits that all column families share.
pub(super) struct Tuning {
    config: Config,
    blocks: Cache,
    write_buffers: WriteBufferManager,
}

impl Tuning {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            blocks: Cache::new_hyper_clock_cache(config.block_cache_bytes, 0),
            // Never stall a writer for memory: it is a thread that others wait for.
            write_buffers: WriteBufferManager::new_write_buffer_manager(
                config.write_buffers_bytes,
                false,
            ),
        }
    }

    pub(super) fn database(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_write_buffer_manager(&self.write_buffers);
        options.set_max_background_jobs(self.config.background_jobs.into());
        options.set_max_file_opening_threads(self.config.background_jobs.into());
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_skip_stats_update_on_db_open(true);
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(LOG_FILES);
        options.set_max_log_file_size(LOG_FILE_BYTES);
        // Spread the write-back of large files instead of one burst that delays the node's log.
        options.set_bytes_per_sync(1 << 20);
        options
    }

    pub(super) fn partition(&self) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.blocks);
        table.set_block_size(BLOCK_BYTES);
        table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
        // Counted against the cache, so that memory stays bounded however many rows there are.
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);

        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_size(self.config.partition_write_buffer_bytes);
        // Every new instance is looked for first, and found nowhere.
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(WRITE_BUFFER_FILTER_PART);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.add_compact_on_deletion_collector_factory(
            REMOVAL_WINDOW_ROWS,
            REMOVAL_WINDOW_ROWS / 2,
            0.5,
        );
        options
    }

    pub(super) fn facts(&self) -> Options {
        let mut options = Options::default();
        options.set_write_buffer_size(FACTS_WRITE_BUFFER_BYTES);
        options
    }
}
