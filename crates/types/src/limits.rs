//! Every limit, with its unit and reason, in one place.

/// Characters of an instance id. Source: Azure's scheduler refuses longer ones.
pub const INSTANCE_ID_CHARS_MAX: usize = 100;

/// Characters of a task hub's name. Our choice.
pub const HUB_NAME_CHARS_MAX: usize = 64;

/// Inbox messages handed to an orchestrator in one work item.
pub const TURN_EVENTS_MAX: usize = 1_000;

/// Encoded bytes of one work item; SDK clients refuse more than 4 MiB.
pub const WORK_ITEM_BYTES_MAX: usize = 3_500_000;

/// Encoded bytes of committed history put into a work item for a worker that can also stream it.
pub const INLINE_HISTORY_BYTES_MAX: usize = 1 << 20;

/// Encoded bytes of one streamed history chunk.
pub const HISTORY_CHUNK_BYTES_MAX: usize = 256 << 10;

/// Bytes at which the growing end of a history is sealed into a row of its own.
pub const HISTORY_SEAL_BYTES: usize = 32 << 10;

/// Work items of one kind out on a stream that asked for 0 ("the server's default").
pub const WORK_ITEMS_PER_STREAM_DEFAULT: u32 = 100;

/// Messages handed to another partition in one delivery.
pub const DELIVERY_MESSAGES_MAX: usize = 512;

/// Bytes of buffered partial completions of one orchestration work item.
pub const PARTIAL_COMPLETION_BYTES_MAX: usize = 64 << 20;

const _: () = assert!(INLINE_HISTORY_BYTES_MAX < WORK_ITEM_BYTES_MAX);
const _: () = assert!(HISTORY_SEAL_BYTES < HISTORY_CHUNK_BYTES_MAX);
