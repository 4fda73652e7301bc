//! Mutual TLS between nodes: version 1.3 only, an authority of the cluster's own, and certificates
//! that are read again when their files change.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use longhaul_types::NodeId;
use parking_lot::RwLock;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, UnixTime, pem::PemObject,
    },
    server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{meters, sockets::Io};

/// In a certificate's name, what stands for the node's id.
const NODE: &str = "{node}";

/// What links speak over TLS. Source: RFC 7540, section 3.3.
const PROTOCOL: &[u8] = b"h2";

/// Where a node's certificate is, and whom it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The node's certificate and those between it and the authority, PEM. It must be good for
    /// clients and servers.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities whose certificates are those of nodes, PEM. Two while one replaces another.
    pub authorities: PathBuf,
    /// The DNS name in a node's certificate. `{node}` in it stands for the node's id, so that a
    /// certificate is good for one node only; without it any node's certificate is good for all.
    pub name: String,
    /// How often the files are looked at.
    pub check_interval: Duration,
}

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is not what it should be.
    #[error("{path} holds no {what}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// Certificate, key and authorities do not fit together.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
    /// Not a DNS name.
    #[error("{0:?} is no name for a certificate")]
    Name(String),
}

impl TlsError {
    fn unusable(reason: impl fmt::Display) -> Self {
        Self::Unusable(reason.to_string())
    }
}

/// A node's side of TLS; clones are the same.
#[derive(Clone)]
pub(crate) struct Tls(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    current: RwLock<Current>,
}

struct Current {
    bytes: Contents,
    client: Arc<ClientConfig>,
    /// For nodes whose id is not known.
    client_of_any: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// The files as they were read.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        name_of(&files.name, NodeId(0)).map_err(|_| TlsError::Name(files.name.clone()))?;
        let current = Current::from(&files, Contents::read(&files)?)?;
        Ok(Self(Arc::new(Shared {
            files,
            current: RwLock::new(current),
        })))
    }

    /// Reads the files whenever they have changed, for ever. What cannot be used changes nothing.
    pub(crate) async fn keep_fresh(self) {
        let mut interval = tokio::time::interval(self.0.files.check_interval);
        let mut complained = None;
        loop {
            interval.tick().await;
            let tls = self.clone();
            // A panic there is a bug, but no reason to end here.
            let Ok(outcome) = tokio::task::spawn_blocking(move || tls.refresh()).await else {
                continue;
            };
            match outcome {
                Ok(false) => complained = None,
                Ok(true) => {
                    complained = None;
                    meters::reloaded(true);
                    tracing::info!("the certificate for links between nodes was read again");
                }
                Err(error) => {
                    let complaint = error.to_string();
                    if complained.as_ref() != Some(&complaint) {
                        meters::reloaded(false);
                        tracing::warn!(%error, "the changed certificate for links between nodes is not used");
                        complained = Some(complaint);
                    }
                }
            }
        }
    }

    /// Whether there was something new.
    fn refresh(&self) -> Result<bool, TlsError> {
        let contents = Contents::read(&self.0.files)?;
        if contents == self.0.current.read().bytes {
            return Ok(false);
        }
        let next = Current::from(&self.0.files, contents)?;
        *self.0.current.write() = next;
        Ok(true)
    }

    /// Encrypts a connection to a node, which must have that node's certificate.
    pub(crate) async fn connect(&self, io: Box<dyn Io>, to: NodeId) -> io::Result<Box<dyn Io>> {
        let config = self.0.current.read().client.clone();
        let name = name_of(&self.0.files.name, to).map_err(io::Error::other)?;
        let stream = TlsConnector::from(config).connect(name, io).await?;
        Ok(Box::new(stream))
    }

    /// Encrypts a connection to a node of which only the address is known: its certificate must be
    /// that of some node.
    pub(crate) async fn connect_to_any(&self, io: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        let config = self.0.current.read().client_of_any.clone();
        // Looked at by nobody, unless the names of all nodes are the same.
        let name = name_of(&self.0.files.name, NodeId(0)).map_err(io::Error::other)?;
        let stream = TlsConnector::from(config).connect(name, io).await?;
        let chain = stream.get_ref().1.peer_certificates();
        let certificate = chain.and_then(|chain| chain.first());
        if !certificate.is_some_and(|certificate| self.is_of_a_node(certificate)) {
            return Err(io::Error::other("the certificate is not that of a node"));
        }
        Ok(Box::new(stream))
    }

    /// Encrypts a connection from a node, and answers its certificate.
    pub(crate) async fn accept(
        &self,
        io: Box<dyn Io>,
    ) -> io::Result<(Box<dyn Io>, CertificateDer<'static>)> {
        let config = self.0.current.read().server.clone();
        let stream = TlsAcceptor::from(config).accept(io).await?;
        let chain = stream.get_ref().1.peer_certificates();
        let certificate = chain
            .and_then(|chain| chain.first())
            .ok_or_else(|| io::Error::other("no certificate"))?;
        let certificate = certificate.clone().into_owned();
        Ok((Box::new(stream), certificate))
    }

    /// Whether a certificate, known to come from the authority, is that of a node.
    pub(crate) fn is_of(&self, certificate: &CertificateDer<'_>, node: NodeId) -> bool {
        let Ok(name) = name_of(&self.0.files.name, node) else {
            return false;
        };
        ParsedCertificate::try_from(certificate)
            .is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
    }
}

impl Tls {
    /// Whether a certificate, known to come from the authority, is that of some node: where names
    /// differ, all of the authority's are.
    pub(crate) fn is_of_a_node(&self, certificate: &CertificateDer<'_>) -> bool {
        self.0.files.name.contains(NODE) || self.is_of(certificate, NodeId(0))
    }
}

/// Checks that a certificate comes from the authority, and nothing about its name.
#[derive(Debug)]
struct AnyName {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.files).finish()
    }
}

fn name_of(pattern: &str, node: NodeId) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(pattern.replace(NODE, &node.to_string()))
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| TlsError::File {
                path: path.clone(),
                source,
            })
        };
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
            authorities: read(&files.authorities)?,
        })
    }
}

impl Current {
    fn from(files: &TlsFiles, bytes: Contents) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate, &bytes.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes.key)
            .map_err(|error| content(&files.key, "private key", &error))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(&files.authorities, &bytes.authorities)? {
            roots.add(authority).map_err(TlsError::unusable)?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(ring::default_provider());

        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::unusable)?
            .with_client_cert_verifier(verifier.map_err(TlsError::unusable)?)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(TlsError::unusable)?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        // A resumed session would not look at the certificate again.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::unusable)?
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(TlsError::unusable)?;
        let any_name = AnyName {
            roots,
            algorithms: provider.signature_verification_algorithms,
        };
        let client_of_any = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(any_name))
            .with_client_auth_cert(chain, key)
            .map_err(TlsError::unusable)?;
        let [client, client_of_any] = [client, client_of_any].map(|mut client| {
            client.alpn_protocols = vec![PROTOCOL.to_vec()];
            client.resumption = Resumption::disabled();
            Arc::new(client)
        });

        Ok(Self {
            bytes,
            client,
            client_of_any,
            server: Arc::new(server),
        })
    }
}

/// At least one certificate.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const WHAT: &str = "certificate";
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| content(path, WHAT, &error))?;
    if found.is_empty() {
        return Err(content(path, WHAT, &"nothing in PEM is one"));
    }
    Ok(found)
}

fn content(path: &Path, what: &'static str, reason: &dyn fmt::Display) -> TlsError {
    TlsError::Content {
        path: path.to_owned(),
        what,
        reason: reason.to_string(),
    }
}
