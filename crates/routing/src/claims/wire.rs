//! Claims, their answers and notices as bytes between nodes.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use longhaul_engine::InstanceKey;
use longhaul_partition::{Capabilities, EncodedItem, Filters, Look, NameFilter, WorkKind};
use longhaul_proto::routing::v1 as proto;
use longhaul_types::{HubId, InstanceId};
use prost::Message;

use super::KIND;

/// Something for each [`WorkKind`].
pub(super) type ByKind<T> = [T; 3];

/// What streams have to have in common to take the same work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) hub: HubId,
    pub(super) filters: Option<Filters>,
    pub(super) capabilities: Capabilities,
}

/// What a node asks of a leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    Claim(Claim),
    Gone(Gone),
}

/// One stream asks for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) profile: u64,
    pub(super) introduction: Option<Profile>,
    pub(super) stream: u64,
    pub(super) slots: ByKind<u32>,
}

/// These are no more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) streams: Vec<u64>,
    pub(super) profiles: Vec<u64>,
}

/// What a claim was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) items: Vec<EncodedItem>,
    /// For each kind asked for.
    pub(super) kinds: ByKind<Option<Looked>>,
}

/// What a claim found of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looked {
    pub(super) look: Look,
    /// Whether there may be more.
    pub(super) more: bool,
    /// Items that were taken and cannot be sent.
    pub(super) unsent: u32,
}

/// What a leader says by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    Ready {
        profile: u64,
        kind: WorkKind,
        look: Look,
    },
    /// By stream.
    Freed(BTreeMap<u64, ByKind<u32>>),
}

/// Bytes from another node that mean nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error(transparent)]
    Message(#[from] prost::DecodeError),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} has a value that it cannot have")]
    Value(&'static str),
}

/// A request, with the byte before it.
pub(super) fn encode_ask(ask: Ask) -> Bytes {
    use proto::claim_request::Ask as Wire;
    let ask = match ask {
        Ask::Claim(claim) => Wire::Claim(proto::Claim {
            profile: claim.profile,
            introduction: claim.introduction.map(profile_to_wire),
            stream: claim.stream,
            slots: claim.slots.to_vec(),
        }),
        Ask::Gone(Gone { streams, profiles }) => Wire::Gone(proto::Gone { streams, profiles }),
    };
    let request = proto::ClaimRequest { ask: Some(ask) };
    let mut out = BytesMut::with_capacity(1 + request.encoded_len());
    out.put_u8(KIND);
    request.encode_raw(&mut out);
    out.freeze()
}

/// A request, without the byte before it.
pub(super) fn decode_ask(bytes: Bytes) -> Result<Ask, Malformed> {
    use proto::claim_request::Ask as Wire;
    let request = proto::ClaimRequest::decode(bytes)?;
    Ok(
        match request.ask.ok_or(Malformed::Missing("the request"))? {
            Wire::Claim(claim) => Ask::Claim(Claim {
                profile: claim.profile,
                introduction: claim.introduction.map(profile_from_wire),
                stream: claim.stream,
                slots: by_kind(&claim.slots)?,
            }),
            Wire::Gone(proto::Gone { streams, profiles }) => Ask::Gone(Gone { streams, profiles }),
        },
    )
}

/// The answer to a claim.
pub(super) fn encode_given(given: Given) -> Bytes {
    let items = given.items.into_iter().map(|item| proto::ClaimedItem {
        kind: item.kind as u32,
        completion_token: item.token,
        instance_id: item.key.id.as_str().to_owned(),
        work_item: item.bytes,
    });
    let kinds = WorkKind::ALL.into_iter().zip(given.kinds);
    let kinds = kinds.filter_map(|(kind, looked)| {
        let Looked { look, more, unsent } = looked?;
        Some(proto::ClaimedKind {
            kind: kind as u32,
            look: look.0,
            more,
            unsent,
        })
    });
    let claimed = proto::Claimed {
        items: items.collect(),
        kinds: kinds.collect(),
    };
    claimed.encode_to_vec().into()
}

/// What was given to a claim: at most its slots, and something was said of each kind.
pub(super) fn decode_given(
    bytes: Bytes,
    hub: HubId,
    slots: ByKind<u32>,
) -> Result<Given, Malformed> {
    let claimed = proto::Claimed::decode(bytes)?;
    let mut given = Given::default();
    for item in claimed.items {
        given.items.push(EncodedItem {
            kind: kind_of(item.kind)?,
            token: item.completion_token,
            key: InstanceKey::new(hub, InstanceId::trusted(item.instance_id)),
            bytes: item.work_item,
        });
    }
    for looked in claimed.kinds {
        let kind = kind_of(looked.kind)?;
        given.kinds[kind as usize] = Some(Looked {
            look: Look(looked.look),
            more: looked.more,
            unsent: looked.unsent,
        });
    }
    let unsaid = |(slots, said): (&u32, &Option<_>)| *slots > 0 && said.is_none();
    if slots.iter().zip(&given.kinds).any(unsaid) {
        return Err(Malformed::Missing("a kind"));
    }
    let mut taken = given.taken().into_iter().zip(slots);
    if taken.any(|(taken, slots)| taken > u64::from(slots)) {
        return Err(Malformed::Value("the number of items"));
    }
    Ok(given)
}

impl Given {
    /// How many items were taken for it, sent or not.
    pub(super) fn taken(&self) -> ByKind<u64> {
        let unsent = |looked: Option<Looked>| looked.map_or(0, |looked| u64::from(looked.unsent));
        let mut taken = self.kinds.map(unsent);
        for item in &self.items {
            taken[item.kind as usize] += 1;
        }
        taken
    }
}

pub(super) fn encode_notice(notice: Notice) -> Bytes {
    use proto::claim_notice::Notice as Wire;
    let notice = match notice {
        Notice::Ready {
            profile,
            kind,
            look,
        } => Wire::Ready(proto::Ready {
            profile,
            kind: kind as u32,
            look: look.0,
        }),
        Notice::Freed(streams) => {
            let streams = streams
                .into_iter()
                .map(|(stream, slots)| proto::FreedSlots {
                    stream,
                    slots: slots.to_vec(),
                });
            Wire::Freed(proto::Freed {
                streams: streams.collect(),
            })
        }
    };
    let notice = Some(notice);
    proto::ClaimNotice { notice }.encode_to_vec().into()
}

pub(super) fn decode_notice(bytes: Bytes) -> Result<Notice, Malformed> {
    use proto::claim_notice::Notice as Wire;
    let notice = proto::ClaimNotice::decode(bytes)?.notice;
    Ok(match notice.ok_or(Malformed::Missing("the notice"))? {
        Wire::Ready(ready) => Notice::Ready {
            profile: ready.profile,
            kind: kind_of(ready.kind)?,
            look: Look(ready.look),
        },
        Wire::Freed(freed) => {
            let streams = freed.streams.into_iter();
            let streams = streams.map(|freed| Ok((freed.stream, by_kind(&freed.slots)?)));
            Notice::Freed(streams.collect::<Result<_, Malformed>>()?)
        }
    })
}

fn kind_of(number: u32) -> Result<WorkKind, Malformed> {
    let kind = WorkKind::ALL
        .into_iter()
        .find(|kind| *kind as u32 == number);
    kind.ok_or(Malformed::Value("a kind"))
}

fn by_kind(numbers: &[u32]) -> Result<ByKind<u32>, Malformed> {
    let numbers = numbers.try_into();
    numbers.map_err(|_| Malformed::Value("a list by kind"))
}

fn profile_to_wire(profile: Profile) -> proto::ClaimProfile {
    let names = |filters: Vec<NameFilter>| {
        let filters = filters.into_iter();
        let wire = |NameFilter { name, versions }| proto::ClaimFilter { name, versions };
        filters.map(wire).collect()
    };
    proto::ClaimProfile {
        hub_id: profile.hub.0,
        filters: profile.filters.map(|filters| proto::ClaimFilters {
            orchestrations: names(filters.orchestrations),
            activities: names(filters.activities),
            entities: names(filters.entities),
        }),
        history_streaming: profile.capabilities.history_streaming,
    }
}

fn profile_from_wire(profile: proto::ClaimProfile) -> Profile {
    let names = |filters: Vec<proto::ClaimFilter>| {
        let filters = filters.into_iter();
        let filter = |proto::ClaimFilter { name, versions }| NameFilter { name, versions };
        filters.map(filter).collect()
    };
    Profile {
        hub: HubId(profile.hub_id),
        filters: profile.filters.map(|filters| Filters {
            orchestrations: names(filters.orchestrations),
            activities: names(filters.activities),
            entities: names(filters.entities),
        }),
        capabilities: Capabilities {
            history_streaming: profile.history_streaming,
        },
    }
}

#[cfg(test)]
mod tests;
