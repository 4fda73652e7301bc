//! What a node has become, written down while its cluster is formed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use longhaul_proto::cluster::v1 as proto;
use longhaul_types::NodeId;
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use super::{Admitted, Belonging, FormationError};
use crate::codec::{self, DecodeFault};
use crate::file::{self, FileError};
use crate::meta::FirstNodes;

const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) belonging: Belonging,
    /// On the cluster's first nodes.
    pub(super) first: Option<FirstNodes>,
    /// Where the others were.
    pub(super) nodes: BTreeMap<NodeId, Box<str>>,
}

impl Record {
    /// Of a node that was one before.
    pub(super) fn of(belonging: Belonging) -> Self {
        Self {
            belonging,
            first: None,
            nodes: BTreeMap::new(),
        }
    }

    /// Of one of the first nodes.
    pub(super) fn first(belonging: Belonging, first: FirstNodes) -> Self {
        let addresses = first.nodes.iter().map(|it| it.addresses.peers.clone());
        Self {
            belonging,
            nodes: first.ids().zip(addresses).collect(),
            first: Some(first),
        }
    }

    /// Of a node that was admitted.
    pub(super) fn admitted(admitted: Admitted) -> Self {
        Self {
            belonging: admitted.belonging,
            first: admitted.first,
            nodes: admitted.nodes,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut message = proto::Record {
            format: FORMAT,
            membership: Some(belonging_message(self.belonging)),
            cluster: self.first.as_ref().map(first_message),
            nodes: whereabouts_message(&self.nodes),
            checksum: 0,
        };
        message.checksum = xxh3_64(&message.encode_to_vec());
        message.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeFault> {
        const WHAT: &str = "what was written down while the cluster was formed";
        let mut message: proto::Record = codec::decode(WHAT, bytes)?;
        if message.format != FORMAT {
            let reason = format!("it has format {}, and not {FORMAT}", message.format);
            return Err(DecodeFault::new(WHAT, reason));
        }
        let checksum = std::mem::take(&mut message.checksum);
        if xxh3_64(&message.encode_to_vec()) != checksum {
            return Err(DecodeFault::new(WHAT, "it is damaged"));
        }
        Ok(Self {
            belonging: belonging(&codec::needed(WHAT, message.membership)?)?,
            first: message.cluster.map(first).transpose()?,
            nodes: whereabouts(message.nodes),
        })
    }
}

/// Where it is written down.
#[derive(Clone, Debug)]
pub(super) struct RecordFile {
    pub(super) path: PathBuf,
    pub(super) sync: bool,
}

impl RecordFile {
    pub(super) fn read(&self) -> Result<Option<Record>, FormationError> {
        let content = file::read(&self.path)?;
        Ok(content
            .map(|content| Record::decode(&content))
            .transpose()?)
    }

    pub(super) fn write(&self, record: &Record) -> Result<(), FileError> {
        file::replace(&self.path, &record.encode(), self.sync)
    }
}

pub(super) fn belonging_message(belonging: Belonging) -> proto::Membership {
    proto::Membership {
        cluster_id: belonging.cluster_id.to_vec().into(),
        node: belonging.node.0,
    }
}

pub(super) fn belonging(message: &proto::Membership) -> Result<Belonging, DecodeFault> {
    Ok(Belonging {
        cluster_id: codec::array("the id of a cluster", &message.cluster_id)?,
        node: NodeId(message.node),
    })
}

pub(super) fn first_message(first: &FirstNodes) -> proto::Found {
    codec::found_message(&first.founding, &first.nodes)
}

pub(super) fn first(message: proto::Found) -> Result<FirstNodes, DecodeFault> {
    let (founding, nodes) = codec::found(message)?;
    Ok(FirstNodes { founding, nodes })
}

pub(super) fn whereabouts_message(nodes: &BTreeMap<NodeId, Box<str>>) -> Vec<proto::Whereabouts> {
    let nodes = nodes.iter().map(|(node, address)| proto::Whereabouts {
        node: node.0,
        peers_address: address.to_string(),
    });
    nodes.collect()
}

pub(super) fn whereabouts(messages: Vec<proto::Whereabouts>) -> BTreeMap<NodeId, Box<str>> {
    let nodes = messages.into_iter();
    let nodes = nodes.map(|it| (NodeId(it.node), it.peers_address.into()));
    nodes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formation::tests::{founding, join};

    #[test]
    fn a_record_is_read_as_it_was_written_or_not_at_all() {
        let belonging = Belonging {
            cluster_id: [3; 16],
            node: NodeId(2),
        };
        let first = FirstNodes {
            founding: founding(3),
            nodes: vec![join("a", 1), join("b", 2)],
        };
        let record = Record::first(belonging, first);
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Ok(record));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(Record::decode(&damaged).is_err(), "byte {at}");
        }
    }
}
