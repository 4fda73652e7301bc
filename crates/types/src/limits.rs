//! Every limit, with its unit and reason, in one place.

/// Characters of an instance id. Source: Azure's scheduler refuses longer ones.
pub const INSTANCE_ID_CHARS_MAX: usize = 100;

/// Characters of a task hub's name. Our choice.
pub const HUB_NAME_CHARS_MAX: usize = 64;

/// Bytes of one payload, unless set otherwise. Source: Azure's scheduler.
pub const PAYLOAD_BYTES_DEFAULT: usize = 1 << 20;

/// Bytes of one received message, unless set otherwise. SDKs split completions at about 3.9 MiB, others do not split at
/// all.
pub const MESSAGE_BYTES_DEFAULT: usize = 64 << 20;

/// Bytes of the name of an orchestration, activity, event or operation, unless set otherwise. Our choice: far above what
/// code contains, far below what hurts.
pub const NAME_BYTES_DEFAULT: usize = 1024;

/// Bytes of a version, unless set otherwise. Our choice, for the same reason.
pub const VERSION_BYTES_DEFAULT: usize = 1024;

/// Tags of one instance or activity, unless set otherwise. Our choice.
pub const TAGS_DEFAULT: usize = 64;

/// Bytes of the key of a tag, unless set otherwise. Our choice.
pub const TAG_KEY_BYTES_DEFAULT: usize = 1024;

/// Bytes of the value of a tag, unless set otherwise. Our choice.
pub const TAG_VALUE_BYTES_DEFAULT: usize = 16 << 10;

/// Bytes of all keys and values of the tags of one instance or activity, unless set otherwise. Our choice.
pub const TAGS_BYTES_DEFAULT: usize = 64 << 10;

/// Actions in one answer of a worker, with all its parts, unless set otherwise. Our choice: a turn is one log entry.
pub const ACTIONS_DEFAULT: usize = 10_000;

/// Events or operations that may wait for one instance before clients' further ones are refused, unless set otherwise.
/// Our choice.
pub const PENDING_EVENTS_DEFAULT: usize = 10_000;

/// Events of a history, unless set otherwise. Our choice.
pub const HISTORY_EVENTS_DEFAULT: u64 = 100_000;

/// Bytes of a history, unless set otherwise. Our choice.
pub const HISTORY_BYTES_DEFAULT: u64 = 256 << 20;

/// Task hubs of one cluster, with those whose content is still being removed. Our choice; bounds what a client can create
/// by inventing names.
pub const HUBS_MAX: usize = 10_000;

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

/// Bytes of payloads after which a search of one partition answers what it has found. One item is always answered.
pub const SEARCH_BYTES_MAX: usize = 2 << 20;

/// Messages handed to another partition in one delivery.
pub const DELIVERY_MESSAGES_MAX: usize = 512;

/// Bytes of buffered partial completions of one orchestration work item.
pub const PARTIAL_COMPLETION_BYTES_MAX: usize = 64 << 20;

const _: () = assert!(PAYLOAD_BYTES_DEFAULT < MESSAGE_BYTES_DEFAULT);
const _: () = assert!(TAG_KEY_BYTES_DEFAULT + TAG_VALUE_BYTES_DEFAULT < TAGS_BYTES_DEFAULT);
const _: () = assert!(INLINE_HISTORY_BYTES_MAX < WORK_ITEM_BYTES_MAX);
const _: () = assert!(HISTORY_SEAL_BYTES < HISTORY_CHUNK_BYTES_MAX);
