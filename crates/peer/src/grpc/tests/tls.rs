//! Mutual TLS over TCP: whose certificate is good, and for how long.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use tokio::net::TcpListener;

use super::*;
use crate::Tcp;

/// Short, so that a test need not wait; a node looks every few seconds.
const CHECK: Duration = Duration::from_millis(20);

/// Far longer than anything here takes.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(super) fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("an authority")
}

/// The years in which a certificate is good.
pub(super) type Years = std::ops::Range<i32>;

pub(super) const NOW: Years = 2020..4000;

/// Writes a node's files into a directory of its own.
pub(super) fn issue(dir: &Path, authority: &Authority, node: u64, years: Years) -> TlsFiles {
    let name = format!("node-{node}.peers.test");
    let mut params = CertificateParams::new([name]).expect("a name");
    params.not_before = date_time_ymd(years.start, 1, 1);
    params.not_after = date_time_ymd(years.end, 1, 1);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("signed");
    let path = |file: &str| dir.join(file);
    fs::create_dir_all(dir).expect("a directory");
    fs::write(path("key.pem"), key.serialize_pem()).expect("written");
    fs::write(path("authorities.pem"), authority.pem()).expect("written");
    fs::write(path("certificate.pem"), certificate.pem()).expect("written");
    TlsFiles {
        certificate: path("certificate.pem"),
        key: path("key.pem"),
        authorities: path("authorities.pem"),
        name: "node-{node}.peers.test".to_owned(),
        check_interval: CHECK,
    }
}

async fn start(node: u64, book: &AddressBook, security: Security) -> GrpcLinks {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    book.set(NodeId(node), Some(address.to_string()));
    let mut config = GrpcConfig::default();
    config.backoff.first = Duration::from_millis(10);
    config.backoff.longest = Duration::from_millis(50);
    let setup = GrpcSetup {
        identity: identity(node),
        config,
        security,
        addresses: Arc::new(book.clone()),
        dial: Arc::new(Tcp),
        listen: Box::new(listener),
    };
    GrpcLinks::start(setup).expect("usable")
}

struct Pair {
    first: GrpcLinks,
    _second: GrpcLinks,
    incoming: Incoming,
}

/// Two nodes, the first of which opens links to the second.
async fn pair(first: Security, second: Security) -> Pair {
    let book = AddressBook::default();
    let first = start(1, &book, first).await;
    let second = start(2, &book, second).await;
    let incoming = second.accept(Class::Raft);
    Pair {
        first,
        _second: second,
        incoming,
    }
}

impl Pair {
    async fn works(&mut self) {
        let opened = linked(&self.first, NodeId(2), &mut self.incoming);
        let (link, mut end) = time::timeout(DEADLINE, opened).await.expect("in time");
        link.sender.send(frame(1)).await.expect("up");
        assert_eq!(end.receiver.next().await, Ok(Some(frame(1))));
        end.sender.send(frame(2)).await.expect("up");
        let mut back = link.receiver;
        assert_eq!(back.next().await, Ok(Some(frame(2))));
    }

    async fn fails(&mut self) -> OpenError {
        let opened = self.first.open(NodeId(2), Class::Raft);
        let opened = time::timeout(DEADLINE, opened).await.expect("in time");
        assert!(self.incoming.try_recv().is_err(), "nobody came in");
        opened.expect_err("no link")
    }
}

#[tokio::test]
async fn nodes_with_certificates_of_one_authority_talk() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority();
    let files = |node| {
        Security::Tls(issue(
            &dir.path().join(format!("{node}")),
            &authority,
            node,
            NOW,
        ))
    };
    pair(files(1), files(2)).await.works().await;
}

#[tokio::test]
async fn certificates_of_another_authority_are_refused_by_either_side() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (authority(), authority());
    let first = issue(&dir.path().join("1"), &ours, 1, NOW);
    let second = issue(&dir.path().join("2"), &theirs, 2, NOW);
    pair(Security::Tls(first.clone()), Security::Tls(second.clone()))
        .await
        .fails()
        .await;
    // The one that opens trusts both, so that it is the other that refuses.
    let both = format!("{}{}", ours.pem(), theirs.pem());
    fs::write(&first.authorities, both).expect("written");
    pair(Security::Tls(first), Security::Tls(second))
        .await
        .fails()
        .await;
}

#[tokio::test]
async fn expired_certificates_are_refused_by_either_side() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority();
    let good = |node: u64| {
        issue(
            &dir.path().join(format!("good-{node}")),
            &authority,
            node,
            NOW,
        )
    };
    let old = |node: u64| {
        issue(
            &dir.path().join(format!("old-{node}")),
            &authority,
            node,
            2000..2001,
        )
    };
    pair(Security::Tls(old(1)), Security::Tls(good(2)))
        .await
        .fails()
        .await;
    pair(Security::Tls(good(1)), Security::Tls(old(2)))
        .await
        .fails()
        .await;
}

#[tokio::test]
async fn a_certificate_is_good_for_its_node_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority();
    let files = |node: u64| issue(&dir.path().join(format!("{node}")), &authority, node, NOW);
    let failed = pair(Security::Tls(files(3)), Security::Tls(files(2)))
        .await
        .fails()
        .await;
    let certificate = Refusal::Theirs(Refusal::Certificate(NodeId(1)).to_string());
    let refused = OpenError::Refused {
        to: NodeId(2),
        refusal: certificate,
    };
    assert_eq!(failed, refused);
    pair(Security::Tls(files(1)), Security::Tls(files(3)))
        .await
        .fails()
        .await;
}

#[tokio::test]
async fn plain_text_and_tls_do_not_mix() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority();
    let files = |node: u64| {
        Security::Tls(issue(
            &dir.path().join(format!("{node}")),
            &authority,
            node,
            NOW,
        ))
    };
    pair(Security::PlainTextOnLoopback, files(2))
        .await
        .fails()
        .await;
    pair(files(1), Security::PlainTextOnLoopback)
        .await
        .fails()
        .await;
}

#[tokio::test]
async fn changed_certificates_are_used_without_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let (before, after) = (authority(), authority());
    let path = |node: u64| dir.path().join(format!("{node}"));
    let first = issue(&path(1), &before, 1, NOW);
    let second = issue(&path(2), &before, 2, NOW);
    let mut pair = pair(Security::Tls(first.clone()), Security::Tls(second.clone())).await;
    pair.works().await;

    // What is half written, or nonsense, changes nothing.
    let key = fs::read(&first.key).expect("readable");
    fs::write(&first.key, "nonsense").expect("written");
    pair.works().await;
    fs::write(&first.key, key).expect("written");

    issue(&path(1), &after, 1, NOW);
    issue(&path(2), &after, 2, NOW);
    // Whoever trusts only the new authority shows that both have changed.
    let book = AddressBook::default();
    let witness = start(4, &book, Security::Tls(issue(&path(4), &after, 4, NOW))).await;
    let address = pair.first.0.shared.addresses.of(NodeId(2)).borrow().clone();
    book.set(NodeId(2), address);
    let deadline = Instant::now() + DEADLINE;
    while witness.open(NodeId(2), Class::Raft).await.is_err() {
        assert!(
            Instant::now() < deadline,
            "the new certificate is never used"
        );
    }
    pair.incoming.recv().await.expect("the witness");
    while pair.first.open(NodeId(2), Class::Raft).await.is_err() {
        assert!(
            Instant::now() < deadline,
            "the new certificate is never used"
        );
    }
}

#[tokio::test]
async fn unusable_files_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority();
    let files = || issue(dir.path(), &authority, 1, NOW);
    let load = |files: TlsFiles| {
        crate::tls::Tls::load(files)
            .expect_err("unusable")
            .to_string()
    };

    let good = files();
    fs::remove_file(&good.key).expect("removed");
    assert!(load(good).contains("cannot read"));
    let good = files();
    fs::write(&good.certificate, "").expect("written");
    assert!(load(good).contains("certificate.pem holds no certificate"));
    let good = files();
    let other = KeyPair::generate().expect("a key");
    fs::write(&good.key, other.serialize_pem()).expect("written");
    assert!(load(good).contains("cannot be used"));
    let mut good = files();
    good.name = "not a name".to_owned();
    assert!(load(good).contains("no name"));
}
