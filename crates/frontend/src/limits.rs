//! What an operator can set about the contents of calls and of workers' answers.

use longhaul_types::limits;

/// What calls and answers may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one payload: an input, output, event, reason or custom status.
    pub payload_bytes: usize,
    /// Bytes of the name of an orchestration, activity, event or operation.
    pub name_bytes: usize,
    /// Bytes of a version.
    pub version_bytes: usize,
    /// Tags of one instance or activity.
    pub tags: usize,
    /// Bytes of the key of a tag.
    pub tag_key_bytes: usize,
    /// Bytes of the value of a tag.
    pub tag_value_bytes: usize,
    /// Bytes of all keys and values of the tags of one instance or activity.
    pub tags_bytes: usize,
    /// Actions in one answer of a worker, with all its parts.
    pub actions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes: limits::PAYLOAD_BYTES_DEFAULT,
            name_bytes: limits::NAME_BYTES_DEFAULT,
            version_bytes: limits::VERSION_BYTES_DEFAULT,
            tags: limits::TAGS_DEFAULT,
            tag_key_bytes: limits::TAG_KEY_BYTES_DEFAULT,
            tag_value_bytes: limits::TAG_VALUE_BYTES_DEFAULT,
            tags_bytes: limits::TAGS_BYTES_DEFAULT,
            actions: limits::ACTIONS_DEFAULT,
        }
    }
}

impl Limits {
    /// The first that would let nothing through.
    pub(crate) fn zero(&self) -> Option<&'static str> {
        let Self {
            payload_bytes,
            name_bytes,
            version_bytes,
            tags,
            tag_key_bytes,
            tag_value_bytes,
            tags_bytes,
            actions,
        } = *self;
        let all = [
            ("payload_bytes", payload_bytes),
            ("name_bytes", name_bytes),
            ("version_bytes", version_bytes),
            ("tags", tags),
            ("tag_key_bytes", tag_key_bytes),
            ("tag_value_bytes", tag_value_bytes),
            ("tags_bytes", tags_bytes),
            ("actions", actions),
        ];
        let zero = all.into_iter().find(|(_, limit)| *limit == 0);
        zero.map(|(key, _)| key)
    }

    /// The defaults, but for payloads.
    #[cfg(test)]
    pub(crate) fn of_payload(payload_bytes: usize) -> Self {
        Self {
            payload_bytes,
            ..Self::default()
        }
    }
}
