//! What the validators call: each check applies rules of the row it is called on.

use bytes::Bytes;
use longhaul_engine::instance::Tags;
use longhaul_engine::query::{Span, StatusSet};
use longhaul_engine::{InstanceKey, Status};
use longhaul_proto::sidecar::OrchestrationStatus;
use longhaul_types::{HubId, HubName, InstanceId, InvalidHubName, InvalidInstanceId, Timestamp};
use prost::Message;
use std::time::Duration;

use super::rules::*;
use super::{Refusal, Row};
use crate::limits::Limits;

/// Seconds of the first and the last moment a protobuf timestamp can name: years 1 to 9999.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Seconds of the longest protobuf duration: about 10,000 years.
const DURATION_SECONDS_MAX: u64 = 315_576_000_000;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

// === Task hubs and ids ===

impl Row {
    pub(crate) fn hub_name(&'static self, name: &str) -> Result<HubName, Refusal> {
        HubName::parse(name).map_err(|invalid| match invalid {
            InvalidHubName::Empty => self.refuse(&HUB_EMPTY, ""),
            InvalidHubName::TooLong(chars) => self.refuse(&HUB_LENGTH, chars),
            InvalidHubName::Character(bad) => self.refuse(&HUB_CHARACTER, format_args!("{bad:?}")),
        })
    }

    /// The key of an orchestration.
    pub(crate) fn orchestration(
        &'static self,
        hub: HubId,
        id: &str,
    ) -> Result<InstanceKey, Refusal> {
        self.key(hub, InstanceId::parse(id))
    }

    /// The key of an orchestration or an entity, where asking for an entity is no mistake.
    pub(crate) fn instance(&'static self, hub: HubId, id: &str) -> Result<InstanceKey, Refusal> {
        self.key(hub, InstanceId::parse_any(id))
    }

    /// The key of an entity.
    pub(crate) fn entity(&'static self, hub: HubId, id: &str) -> Result<InstanceKey, Refusal> {
        if id.is_empty() {
            return Err(self.refuse(&REQUIRED, ""));
        }
        self.key(hub, InstanceId::parse_entity(id))
    }

    fn key(
        &'static self,
        hub: HubId,
        parsed: Result<InstanceId, InvalidInstanceId>,
    ) -> Result<InstanceKey, Refusal> {
        match parsed {
            Ok(id) => Ok(InstanceKey::new(hub, id)),
            Err(InvalidInstanceId::Empty) => Err(self.refuse(&REQUIRED, "")),
            Err(InvalidInstanceId::TooLong(chars)) => Err(self.refuse(&ID_LENGTH, chars)),
            Err(InvalidInstanceId::ControlCharacter) => Err(self.refuse(&ID_CONTROL, "")),
            Err(InvalidInstanceId::ReservedForEntities(id)) => {
                Err(self.refuse(&ID_RESERVED, quoted(&id)))
            }
            Err(InvalidInstanceId::NotAnEntity(id)) => {
                Err(self.refuse(&ID_NOT_ENTITY, quoted(&id)))
            }
        }
    }
}

/// With control characters escaped, and cut before that costs anything.
fn quoted(text: &str) -> String {
    let end = text
        .char_indices()
        .nth(super::FOUND_CHARS_MAX)
        .map_or(text.len(), |(end, _)| end);
    format!("{:?}", &text[..end])
}

// === Texts and opaque parts ===

impl Row {
    /// A text that must be there and has no limit here.
    pub(crate) fn required(&'static self, text: &str) -> Result<(), Refusal> {
        if text.is_empty() {
            return Err(self.refuse(&REQUIRED, ""));
        }
        Ok(())
    }

    /// A part that must be there.
    pub(crate) fn present<T>(&'static self, part: Option<T>) -> Result<T, Refusal> {
        part.ok_or_else(|| self.refuse(&REQUIRED, ""))
    }

    /// A name that must be there.
    pub(crate) fn name(&'static self, text: String, limits: &Limits) -> Result<String, Refusal> {
        self.required(&text)?;
        self.name_if_any(text, limits)
    }

    /// A name.
    pub(crate) fn name_if_any(
        &'static self,
        text: String,
        limits: &Limits,
    ) -> Result<String, Refusal> {
        self.at_most(&NAME_LENGTH, text.len(), limits.name_bytes)?;
        Ok(text)
    }

    /// A version.
    pub(crate) fn version(
        &'static self,
        text: Option<String>,
        limits: &Limits,
    ) -> Result<Option<String>, Refusal> {
        let bytes = text.as_ref().map_or(0, String::len);
        self.at_most(&VERSION_LENGTH, bytes, limits.version_bytes)?;
        Ok(text)
    }

    /// A text that is nobody's name.
    pub(crate) fn short(&'static self, text: &str) -> Result<(), Refusal> {
        self.count(&TEXT_LENGTH, text.len())
    }

    /// Takes over a payload without copying it.
    pub(crate) fn payload(
        &'static self,
        text: Option<String>,
        limits: &Limits,
    ) -> Result<Option<Bytes>, Refusal> {
        self.fits(text.as_deref(), limits)?;
        Ok(text.map(Bytes::from))
    }

    /// The size of a payload.
    pub(crate) fn fits(&'static self, text: Option<&str>, limits: &Limits) -> Result<(), Refusal> {
        let bytes = text.map_or(0, str::len);
        self.at_most(&PAYLOAD_SIZE, bytes, limits.payload_bytes)
    }

    pub(crate) fn tags(&'static self, tags: Tags, limits: &Limits) -> Result<Tags, Refusal> {
        self.at_most(&TAG_COUNT, tags.len(), limits.tags)?;
        let mut bytes = 0;
        for (key, value) in &tags {
            self.at_most(&TAG_KEY, key.len(), limits.tag_key_bytes)?;
            self.at_most(&TAG_VALUE, value.len(), limits.tag_value_bytes)?;
            bytes += key.len() + value.len();
        }
        self.at_most(&TAGS_SIZE, bytes, limits.tags_bytes)?;
        Ok(tags)
    }

    /// The number of actions in a whole answer.
    pub(crate) fn actions(&'static self, count: usize, limits: &Limits) -> Result<(), Refusal> {
        self.at_most(&ACTION_COUNT, count, limits.actions)
    }

    /// What waits for an instance, as the partition counted it.
    pub(crate) fn full(&'static self, pending: usize, max: usize) -> Refusal {
        self.refuse_above(&PENDING_COUNT, pending, max)
    }

    /// A limit that is set by the operator.
    fn at_most(
        &'static self,
        rule: &'static Rule,
        found: usize,
        max: usize,
    ) -> Result<(), Refusal> {
        if found > max {
            return Err(self.refuse_above(rule, found, max));
        }
        Ok(())
    }

    /// A trace context, which is kept encoded: what is in it is the tracing system's business.
    pub(crate) fn trace(
        &'static self,
        context: Option<impl Message>,
    ) -> Result<Option<Bytes>, Refusal> {
        let encoded = context.map(|context| Bytes::from(context.encode_to_vec()));
        match &encoded {
            Some(bytes) if bytes.len() > TRACE_BYTES_MAX => {
                Err(self.refuse(&TRACE_SIZE, bytes.len()))
            }
            Some(_) | None => Ok(encoded),
        }
    }
}

// === Times ===

impl Row {
    pub(crate) fn timestamp(
        &'static self,
        at: prost_types::Timestamp,
    ) -> Result<Timestamp, Refusal> {
        match u32::try_from(at.nanos) {
            Ok(nanos) if nanos < NANOS_PER_SECOND && TIMESTAMP_SECONDS.contains(&at.seconds) => {
                Ok(Timestamp {
                    seconds: at.seconds,
                    nanos,
                })
            }
            _ => Err(self.refuse(&TIMESTAMP, "")),
        }
    }

    pub(crate) fn timestamp_if_any(
        &'static self,
        at: Option<prost_types::Timestamp>,
    ) -> Result<Option<Timestamp>, Refusal> {
        at.map(|at| self.timestamp(at)).transpose()
    }

    /// A span that begins with this field and ends with `end`.
    pub(crate) fn span(
        &'static self,
        from: Option<prost_types::Timestamp>,
        end: &'static Row,
        to: Option<prost_types::Timestamp>,
    ) -> Result<Span, Refusal> {
        let span = Span {
            from: self.timestamp_if_any(from)?,
            to: end.timestamp_if_any(to)?,
        };
        match span {
            Span {
                from: Some(from),
                to: Some(to),
            } if from > to => Err(self.refuse(&SPAN, "")),
            span => Ok(span),
        }
    }

    pub(crate) fn duration(
        &'static self,
        duration: prost_types::Duration,
    ) -> Result<Duration, Refusal> {
        match (
            u64::try_from(duration.seconds),
            u32::try_from(duration.nanos),
        ) {
            (Ok(seconds), Ok(nanos))
                if seconds <= DURATION_SECONDS_MAX && nanos < NANOS_PER_SECOND =>
            {
                Ok(Duration::new(seconds, nanos))
            }
            _ => Err(self.refuse(&DURATION, "")),
        }
    }
}

// === Numbers and lists ===

impl Row {
    /// A status of an instance; `None` for CONTINUED_AS_NEW, which exists and which no instance ever has.
    pub(crate) fn status(&'static self, number: i32) -> Result<Option<Status>, Refusal> {
        match Status::from_wire(number) {
            None if number == OrchestrationStatus::ContinuedAsNew as i32 => Ok(None),
            None => Err(self.refuse(&STATUS, number)),
            status => Ok(status),
        }
    }

    /// The statuses of a filter, every one if none is named.
    pub(crate) fn statuses(&'static self, numbers: &[i32]) -> Result<StatusSet, Refusal> {
        if numbers.is_empty() {
            return Ok(StatusSet::ALL);
        }
        numbers
            .iter()
            .try_fold(StatusSet::NONE, |statuses, number| {
                let status = self.status(*number)?;
                Ok(status.map_or(statuses, |status| statuses.with(status)))
            })
    }

    pub(crate) fn count(&'static self, rule: &'static Rule, count: usize) -> Result<(), Refusal> {
        match rule.max {
            Max::Fixed(max) if count > max => Err(self.refuse(rule, count)),
            Max::Fixed(_) | Max::Setting(_) | Max::Nothing => Ok(()),
        }
    }

    /// A limit of which 0 stands for `default`.
    pub(crate) fn limit(&'static self, value: i32, default: u32, max: u32) -> Result<u32, Refusal> {
        match u32::try_from(value) {
            Ok(0) => Ok(default),
            Ok(limit) => Ok(limit.min(max)),
            Err(_) => Err(self.refuse(&NEGATIVE_LIMIT, value)),
        }
    }
}
