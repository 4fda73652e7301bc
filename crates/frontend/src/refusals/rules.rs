//! The rules: when something is refused, with which status, and in which words.
//!
//! The sentences say what to do about it, because several SDKs show them to the caller as they are. In them, `{field}`
//! is the field's name on the wire, `{found}` what it holds, `{max}` the limit, and `{setting}` the setting's name.

use longhaul_types::limits;
use tonic::Code::{
    self, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied,
    ResourceExhausted, Unimplemented,
};

/// One reason to refuse a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// What is wrong, for the documentation.
    pub(crate) when: &'static str,
    /// The status.
    pub(crate) code: Code,
    /// The sentence.
    pub(crate) text: &'static str,
    /// What `{max}` stands for.
    pub(crate) max: Max,
}

/// A limit that a rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Max {
    /// None.
    Nothing,
    /// Always this many.
    Fixed(usize),
    /// As the server is configured; this is the setting's name.
    Setting(&'static str),
}

impl Max {
    /// The name of the setting; empty if it cannot be set.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::Setting(name) => name,
            Self::Nothing | Self::Fixed(_) => "",
        }
    }
}

#[cfg(test)]
impl Rule {
    /// What is wrong, with the limit.
    pub(crate) fn condition(&self) -> String {
        self.when.replace("{max}", &self.max.to_string())
    }
}

#[cfg(test)]
impl std::fmt::Display for Max {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Fixed(max) => write!(f, "{max}"),
            Self::Setting(name) => write!(f, "`{name}`"),
        }
    }
}

/// Bytes of a text that is nobody's name: the id of a request or execution, the beginning of an id. Our choice: far above
/// what is sent, far below what hurts.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;

/// Encoded bytes of a trace context. Source: W3C asks to keep 512 characters of state; our choice is far above.
pub(crate) const TRACE_BYTES_MAX: usize = 8 << 10;

/// Names, or versions, in one category of a worker's filters.
pub(crate) const FILTERS_MAX: usize = 10_000;

/// Task hub names in one query.
pub(crate) const HUB_NAMES_MAX: usize = 1_000;

const fn rule(code: Code, when: &'static str, text: &'static str) -> Rule {
    Rule {
        when,
        code,
        text,
        max: Max::Nothing,
    }
}

const fn limit(max: Max, when: &'static str, text: &'static str) -> Rule {
    Rule {
        when,
        code: InvalidArgument,
        text,
        max,
    }
}

// === The message as a whole. The transport says it in its own words. ===

pub(crate) static MESSAGE_SIZE: Rule = Rule {
    when: "larger than {max}",
    code: ResourceExhausted,
    text: "",
    max: Max::Setting("limits.message"),
};
pub(crate) static MESSAGE_UNDECODABLE: Rule = rule(
    InvalidArgument,
    "missing, cut off, or no encoded message of this call's type, such as text that is not UTF-8",
    "",
);
pub(crate) static MESSAGE_COMPRESSED: Rule = rule(
    Unimplemented,
    "compressed: the server announces no `grpc-encoding`",
    "",
);

// === The task hub ===

pub(crate) static HUB_EMPTY: Rule = rule(
    InvalidArgument,
    "empty",
    "the taskhub header is empty; leave it out or name a task hub, which comes from TaskHub in the connection string",
);
pub(crate) static HUB_LENGTH: Rule = limit(
    Max::Fixed(limits::HUB_NAME_CHARS_MAX),
    "longer than {max} characters",
    "a task hub name has at most {max} characters, this one has {found}; correct the taskhub header, which comes from \
     TaskHub in the connection string",
);
pub(crate) static HUB_CHARACTER: Rule = rule(
    InvalidArgument,
    "has characters that no task hub name has",
    "a task hub name has only letters, digits, '-', '_' and '.', not {found}; correct the taskhub header, which comes \
     from TaskHub in the connection string",
);
pub(crate) static HUB_UNREADABLE: Rule = rule(
    InvalidArgument,
    "not ASCII",
    "the taskhub header is not ASCII text; a task hub name has only letters, digits, '-', '_' and '.'",
);
pub(crate) static HUB_SEVERAL: Rule = rule(
    InvalidArgument,
    "sent more than once, with different names",
    "the call names several task hubs; send the taskhub header once",
);
/// Source: the real service's text begins the same, and the .NET worker looks for it.
pub(crate) static HUB_UNKNOWN: Rule = rule(
    NotFound,
    "no such task hub",
    "Task hub not found: {found}. Name an existing one in the client's connection string (TaskHub=...), or create it: \
     list it in the server's hubs.create (--hub {found}, or DTS_TASK_HUB_NAMES), have hubs made on first use \
     (hubs.dynamic, as in `longhaul dev`), or call CreateTaskHub where hubs.manage_over_rpc allows it",
);
pub(crate) static HUB_CHANGES: Rule =
    rule(PermissionDenied, "the server does not allow it", "{found}");
pub(crate) static HUB_COUNT: Rule = rule(
    ResourceExhausted,
    "there are as many task hubs as there may be",
    "{found}; delete one that is not needed",
);

// === Ids ===

pub(crate) static ID_LENGTH: Rule = limit(
    Max::Fixed(limits::INSTANCE_ID_CHARS_MAX),
    "longer than {max} characters",
    "the length of an instance id is at most {max} characters, this one has {found}; set {field} to a shorter one",
);
pub(crate) static ID_CONTROL: Rule = rule(
    InvalidArgument,
    "has control characters",
    "an instance id cannot have control characters; set {field} to one without them",
);
pub(crate) static ID_RESERVED: Rule = rule(
    InvalidArgument,
    "begins with `@`",
    "ids beginning with '@' are reserved for entities: {found}; set {field} to the id of an orchestration",
);
pub(crate) static ID_NOT_ENTITY: Rule = rule(
    InvalidArgument,
    "not of the form `@name@key`",
    "the id of an entity is '@name@key', this one is {found}; set {field} to an id of this form",
);

// === Values ===

pub(crate) static REQUIRED: Rule = rule(
    InvalidArgument,
    "absent or empty",
    "{field} is required and must not be empty",
);
pub(crate) static TEXT_LENGTH: Rule = limit(
    Max::Fixed(TEXT_BYTES_MAX),
    "longer than {max} bytes",
    "{field} has {found} bytes, but at most {max} are allowed; use a shorter one",
);
pub(crate) static NAME_LENGTH: Rule = limit(
    Max::Setting("limits.name"),
    "longer, as a name, than {max}",
    "{field} has {found} bytes, but a name has at most {max}; use a shorter one, or raise {setting}",
);
pub(crate) static VERSION_LENGTH: Rule = limit(
    Max::Setting("limits.version"),
    "longer, as a version, than {max}",
    "{field} has {found} bytes, but a version has at most {max}; use a shorter one, or raise {setting}",
);
pub(crate) static PAYLOAD_SIZE: Rule = limit(
    Max::Setting("limits.payload"),
    "larger than {max}",
    "{field} has {found} bytes, but at most {max} are allowed; keep large data elsewhere and pass a reference to it, or \
     raise {setting}",
);
pub(crate) static TAG_COUNT: Rule = limit(
    Max::Setting("limits.tags"),
    "more than {max} entries",
    "{field} has {found} entries, but at most {max} are allowed; use fewer, or raise {setting}",
);
pub(crate) static TAG_KEY: Rule = limit(
    Max::Setting("limits.tag_key"),
    "a key longer than {max}",
    "{field} has a key of {found} bytes, but at most {max} are allowed; use a shorter one, or raise {setting}",
);
pub(crate) static TAG_VALUE: Rule = limit(
    Max::Setting("limits.tag_value"),
    "a value longer than {max}",
    "{field} has a value of {found} bytes, but at most {max} are allowed; use a shorter one, or raise {setting}",
);
pub(crate) static TAGS_SIZE: Rule = limit(
    Max::Setting("limits.tags_bytes"),
    "larger than {max} in all",
    "{field} has {found} bytes in all, but at most {max} are allowed; use shorter ones, or raise {setting}",
);
pub(crate) static TRACE_SIZE: Rule = limit(
    Max::Fixed(TRACE_BYTES_MAX),
    "larger than {max} bytes",
    "{field} has {found} bytes, but at most {max} are allowed; shorten its state",
);
pub(crate) static TIMESTAMP: Rule = rule(
    InvalidArgument,
    "outside the years 1 to 9999, or with nanos outside 0 to 999999999",
    "{field} is no valid timestamp; it must lie in the years 1 to 9999, with nanos from 0 to 999999999",
);
pub(crate) static SPAN: Rule = rule(
    InvalidArgument,
    "after the end of the same span",
    "{field} is after the end of its span; exchange the two or leave one out",
);
pub(crate) static DURATION: Rule = rule(
    InvalidArgument,
    "negative, or no valid duration",
    "{field} is no valid duration; it must be zero or more, at most 10000 years, with nanos from 0 to 999999999",
);
pub(crate) static STATUS: Rule = rule(
    InvalidArgument,
    "a number that is no status",
    "{field} holds {found}, which is no orchestration status",
);
pub(crate) static NEGATIVE_LIMIT: Rule = rule(
    InvalidArgument,
    "negative",
    "{field} is {found}; use 0 for the server's default or a positive number",
);
pub(crate) static FILTER_COUNT: Rule = limit(
    Max::Fixed(FILTERS_MAX),
    "more than {max} entries",
    "{field} has {found} entries, but at most {max} are allowed; leave workItemFilters out to take everything",
);
pub(crate) static HUB_NAME_COUNT: Rule = limit(
    Max::Fixed(HUB_NAMES_MAX),
    "more than {max} entries",
    "{field} has {found} entries, but at most {max} are allowed; a query is about the task hub of its call",
);
pub(crate) static BATCH_COUNT: Rule = limit(
    Max::Fixed(limits::INSTANCE_BATCH_MAX),
    "more than {max} entries",
    "{field} has {found} entries, but at most {max} are allowed; split the batch",
);
pub(crate) static PAGE_TOKEN: Rule = rule(
    InvalidArgument,
    "not a token that the same query returned in the same task hub",
    "{field} is no token of this query: pass it on exactly as it was returned, with the same filters, or leave it out \
     to begin again",
);

// === What there is ===

pub(crate) static NO_INSTANCE: Rule = rule(
    NotFound,
    "no such instance",
    "no orchestration instance with the id '{found}' exists in this task hub",
);
pub(crate) static NO_EXECUTION: Rule = rule(
    NotFound,
    "not the current execution",
    "execution {found} is not the instance's current one: leave {field} out to read the history that is kept",
);
pub(crate) static ID_TAKEN: Rule = rule(
    AlreadyExists,
    "taken, and the reuse policy does not allow replacement",
    "an orchestration instance already exists with the id {found}: choose another id, wait until it has ended, or \
     allow its replacement with a reuse policy",
);
/// Source: the real service's text, which SDK suites compare.
pub(crate) static REUSE_CONTRADICTORY: Rule = rule(
    InvalidArgument,
    "would replace a live instance, but leaves TERMINATED out",
    "Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances",
);
pub(crate) static NOT_ENDED: Rule = rule(
    FailedPrecondition,
    "not ended, and the id is to be kept",
    "the orchestration instance is {found}, so it cannot be restarted under its id: wait until it has ended, or ask \
     for a new id",
);
/// Source: an SDK suite looks for "not allow", "precondition" or "running".
pub(crate) static NOT_FAILED: Rule = rule(
    FailedPrecondition,
    "not failed",
    "rewinding is not allowed while the orchestration instance is {found}: only a failed one can be rewound",
);
pub(crate) static LIVE: Rule = rule(
    FailedPrecondition,
    "not ended, and `isOrchestration` is set",
    "the orchestration instance '{found}' has not ended, so it cannot be purged: terminate it first, or wait",
);

/// Certainly without effect, and tried again by no SDK by itself.
pub(crate) static PENDING_COUNT: Rule = Rule {
    when: "as many events or operations wait for the instance as {max} lets",
    code: ResourceExhausted,
    text: "nothing was changed: {found} events or operations already wait for this instance, and clients may let at \
           most {max} wait; send more once workers have caught up, or raise {setting}",
    max: Max::Setting("limits.pending_events"),
};

// === Answers of workers ===

pub(crate) static ACTION_COUNT: Rule = limit(
    Max::Setting("limits.actions"),
    "more than {max}",
    "{field} has {found} entries, but at most {max} are allowed in one answer; do less at once, or raise {setting}",
);

pub(crate) static ACTION_UNKNOWN: Rule = rule(
    InvalidArgument,
    "of no type that this server knows",
    "action {found} has no type that this server knows; update the server or use an older SDK",
);
pub(crate) static MESSAGE_UNKNOWN: Rule = rule(
    InvalidArgument,
    "of no type that this server knows",
    "{field} has no type that this server knows; update the server or use an older SDK",
);
pub(crate) static RESULT_UNKNOWN: Rule = rule(
    InvalidArgument,
    "neither a success nor a failure",
    "{field} says neither that the operation succeeded nor that it failed; use a newer SDK",
);
pub(crate) static ACTION_UNAVAILABLE: Rule = rule(
    InvalidArgument,
    "of a kind that this version of the server does not carry out",
    "{field} is not available in this version of the server",
);
pub(crate) static EVENT_TO_ENTITY: Rule = rule(
    InvalidArgument,
    "an entity's",
    "the entity {found} cannot be sent events; signal or call it",
);
pub(crate) static NO_FIRE_AT: Rule = rule(InvalidArgument, "absent", "a timer has no fireAt");
pub(crate) static NO_END: Rule = rule(
    InvalidArgument,
    "neither a terminal status nor CONTINUED_AS_NEW",
    "an orchestration cannot complete with the status {found}",
);
pub(crate) static NEGATIVE_EVENTS: Rule = rule(
    InvalidArgument,
    "negative",
    "{field} is {found}, but must not be negative",
);
