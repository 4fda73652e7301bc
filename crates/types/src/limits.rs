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

/// Operations handed to an entity's worker in one batch.
pub const ENTITY_BATCH_OPERATIONS_MAX: usize = 1_000;

/// Requests that an entity remembers to recognise repeated signals.
pub const RECENT_SIGNALS_MAX: usize = 256;

/// Instance ids in one batch request. Source: Azure's scheduler.
pub const INSTANCE_BATCH_MAX: usize = 500;

/// Instances in a page of a query that asks for none in particular.
pub const PAGE_DEFAULT: usize = 100;

/// Instances in a page of a query at most.
pub const PAGE_MAX: usize = 1_000;

/// Encoded bytes of a page; SDK clients refuse more than 4 MiB.
pub const PAGE_BYTES_MAX: usize = 3_500_000;

/// Messages handed to another partition in one delivery.
pub const DELIVERY_MESSAGES_MAX: usize = 512;

/// Bytes of buffered partial completions of one orchestration work item.
pub const PARTIAL_COMPLETION_BYTES_MAX: usize = 64 << 20;

const _: () = assert!(INLINE_HISTORY_BYTES_MAX < WORK_ITEM_BYTES_MAX);
const _: () = assert!(HISTORY_SEAL_BYTES < HISTORY_CHUNK_BYTES_MAX);
