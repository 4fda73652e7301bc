//! Settings of a node as one of several: its name, its peers, and what protects the way between them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::value::{Value, quoted};
use crate::listen::ListenAddress;

/// A node among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Into how many partitions instances are divided.
    pub partitions: u32,
    /// Replicas of each partition.
    pub replicas: u32,
    /// By which people and peers call this node; the host's name if none.
    pub name: Label,
    /// The first nodes.
    pub peers: Vec<Peer>,
    /// What this node shares with others that fail with it.
    pub zone: Label,
    /// Where other nodes find this one; where it listens for them if absent.
    pub advertise: OptionalPlace,
    /// Whether nodes may talk in plain text over a network.
    pub plaintext: bool,
    /// Longest silence of a leader before another one is elected.
    pub election_timeout: Duration,
    /// Replicas of a node that is away for so long move elsewhere.
    pub replace_after: Duration,
    /// Certificates between nodes.
    pub tls: OptionalTls,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            partitions: 8,
            replicas: 3,
            name: Label::default(),
            peers: Vec::new(),
            zone: Label::default(),
            advertise: OptionalPlace(None),
            plaintext: false,
            election_timeout: Duration::from_secs(1),
            replace_after: Duration::from_secs(600),
            tls: OptionalTls(None),
        }
    }
}

/// A short name, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label(pub Option<String>);

const LABEL_CHARS_MAX: usize = 253;

fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=LABEL_CHARS_MAX).contains(&text.len()) && text.chars().all(plain)
}

impl Value for Label {
    const EXPECTED: &'static str = "a name of letters, digits, '-', '_' and '.', or nothing";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "" => Some(Self(None)),
            name => is_label(name).then(|| Self(Some(name.to_owned()))),
        }
    }

    fn to_toml(&self) -> String {
        quoted(self.0.as_deref().unwrap_or(""))
    }
}

/// One of the first nodes: its name, and where other nodes find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its `cluster.name`.
    pub name: String,
    /// Its port for other nodes.
    pub address: ListenAddress,
}

impl Peer {
    fn parse(text: &str) -> Option<Self> {
        let (name, address) = text.split_once('=')?;
        let address: ListenAddress = address.trim().parse().ok()?;
        let name = name.trim();
        (is_label(name) && address.port != 0).then(|| Self {
            name: name.to_owned(),
            address,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.address)
    }
}

impl Value for Vec<Peer> {
    const EXPECTED: &'static str = "a list of nodes; write each as name=host:port";

    /// Separated by commas.
    fn from_text(text: &str) -> Option<Self> {
        let peers = text.split(',').map(str::trim);
        peers
            .filter(|peer| !peer.is_empty())
            .map(Peer::parse)
            .collect()
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let peers = value.as_array()?.iter();
        peers
            .map(|peer| Peer::parse(peer.as_ref().as_str()?))
            .collect()
    }

    fn to_toml(&self) -> String {
        let peers: Vec<String> = self.iter().map(quoted).collect();
        format!("[{}]", peers.join(", "))
    }
}

/// Where something is found, if that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalPlace(pub Option<ListenAddress>);

impl Value for OptionalPlace {
    const EXPECTED: &'static str = "an address, as node-1.example:8081, or nothing";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "" => Some(Self(None)),
            text => text.parse().ok().map(|address| Self(Some(address))),
        }
    }

    fn to_toml(&self) -> String {
        match &self.0 {
            Some(address) => quoted(address),
            None => quoted(""),
        }
    }
}

/// Certificates between nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The node's certificate, good for clients and servers, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities of nodes, PEM.
    pub authorities: PathBuf,
    /// The DNS name in certificates of nodes; `{node}` stands for the node's id.
    pub name: String,
}

/// Certificates between nodes, if there are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalTls(pub Option<Tls>);

const TLS_FIELDS: [&str; 4] = ["certificate", "key", "authorities", "name"];

impl OptionalTls {
    /// All four, or none.
    fn from_fields<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let [certificate, key, authorities, name] = TLS_FIELDS.map(field);
        Some(Self(Some(Tls {
            certificate: certificate?.into(),
            key: key?.into(),
            authorities: authorities?.into(),
            name: name?.to_owned(),
        })))
    }
}

impl Value for OptionalTls {
    const EXPECTED: &'static str = "a table of certificate, key, authorities and name, or off";

    /// `certificate=…,key=…,authorities=…,name=…`.
    fn from_text(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(Self(None));
        }
        let fields: Option<Vec<(&str, &str)>> =
            text.split(',').map(|field| field.split_once('=')).collect();
        let fields = fields?;
        let known = |(name, value): &(&str, &str)| {
            TLS_FIELDS.contains(&name.trim()) && !value.trim().is_empty()
        };
        if !fields.iter().all(known) {
            return None;
        }
        Self::from_fields(|name| {
            let mut fields = fields.iter();
            fields
                .find(|(field, _)| field.trim() == name)
                .map(|(_, value)| value.trim())
        })
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return Self::from_text(text);
        }
        let table = value.as_table()?;
        let known = table
            .iter()
            .all(|(name, _)| TLS_FIELDS.contains(&name.as_ref().as_ref()));
        if !known {
            return None;
        }
        Self::from_fields(|name| table.get(name)?.as_ref().as_str())
    }

    fn to_toml(&self) -> String {
        let Some(tls) = &self.0 else {
            return quoted("off");
        };
        format!(
            "{{ certificate = {}, key = {}, authorities = {}, name = {} }}",
            quoted(tls.certificate.display()),
            quoted(tls.key.display()),
            quoted(tls.authorities.display()),
            quoted(&tls.name)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_names_with_addresses() {
        let peers = Vec::<Peer>::from_text("n1=10.0.0.1:8081, n2=[::1]:8081,").expect("valid");
        let shown: Vec<String> = peers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["n1=10.0.0.1:8081", "n2=[::1]:8081"]);
        for bad in ["n1", "n1=host", "=host:1", "n 1=host:1", "n1=host:0"] {
            assert_eq!(Vec::<Peer>::from_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn nothing_is_a_name_too() {
        assert_eq!(Label::from_text(""), Some(Label(None)));
        assert_eq!(
            Label::from_text("zone-a.1"),
            Some(Label(Some("zone-a.1".into())))
        );
        assert_eq!(Label::from_text("a b"), None);
    }

    #[test]
    fn certificates_are_whole_or_off() {
        let text = "certificate=a.pem,key=b.pem,authorities=c.pem,name=node.example";
        let tls = OptionalTls::from_text(text).expect("whole");
        assert!(tls.0.is_some());
        let shown = format!("tls = {}", tls.to_toml());
        let table = toml::de::DeTable::parse(&shown).expect("TOML");
        let read = OptionalTls::from_toml(table.get_ref().get("tls").expect("there").get_ref());
        assert_eq!(read, Some(tls));
        assert_eq!(OptionalTls::from_text("off"), Some(OptionalTls(None)));
        for bad in [
            "",
            "certificate=a.pem",
            "certificate=a,key=,authorities=c,name=d",
        ] {
            assert_eq!(OptionalTls::from_text(bad), None, "{bad}");
        }
    }
}
