//! Plain calls on the port of the links: before a node knows which it is, and beside its links.

use longhaul_proto::cluster::v1::{DescribeRequest, formation_client::FormationClient};
use tokio::{net::TcpListener, sync::oneshot};
use tonic::{Code, service::Routes};

use super::tls::{Authority, DEADLINE, NOW, authority, issue};
use super::*;
use crate::Tcp;

async fn port(security: Security) -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let setup = PortSetup {
        config: GrpcConfig::default(),
        security,
        dial: Arc::new(Tcp),
        listen: Box::new(listener),
    };
    Port::open(setup).expect("usable")
}

fn address(port: &Port) -> String {
    port.local_address().expect("bound").to_string()
}

/// What becomes of a call that nobody knows. That it is unknown shows that it was let in.
async fn asked(calls: &Calls, address: &str) -> Code {
    let asked = async {
        let channel = match calls.channel(address).await {
            Ok(channel) => channel,
            Err(CallError::Refused(_)) => return Code::PermissionDenied,
            Err(_) => return Code::Unavailable,
        };
        let described = FormationClient::new(channel)
            .describe(DescribeRequest {})
            .await;
        described.expect_err("nobody answers it").code()
    };
    time::timeout(DEADLINE, asked).await.expect("in time")
}

fn files(dir: &tempfile::TempDir, authority: &Authority, node: u64) -> Security {
    let dir = dir.path().join(node.to_string());
    Security::Tls(issue(&dir, authority, node, NOW))
}

#[tokio::test]
async fn calls_are_answered_before_there_are_links_and_beside_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority();
    let book = AddressBook::default();
    let setup = |node: u64, listen: Box<dyn Listen>| GrpcSetup {
        identity: identity(node),
        config: GrpcConfig {
            backoff: BackoffConfig {
                first: Duration::from_millis(10),
                longest: Duration::from_millis(50),
            },
            ..GrpcConfig::default()
        },
        security: files(&dir, &authority, node),
        addresses: Arc::new(book.clone()),
        dial: Arc::new(Tcp),
        listen,
    };
    let mut second = port(files(&dir, &authority, 2)).await;
    let address = address(&second);
    book.set(NodeId(2), Some(address.clone()));
    let first = port(files(&dir, &authority, 1)).await;
    let calls = first.calls();
    let first = GrpcLinks::start(setup(1, first.into_listen())).expect("usable");

    // As long as it does not know which node it is, it has no links.
    let (enough, ended) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let ended = second.serve(Routes::default(), ended).await;
        ended.expect("asked to end");
        second
    });
    assert_eq!(asked(&calls, &address).await, Code::Unimplemented);
    let no_link = first.open(NodeId(2), Class::Raft).await;
    let no_link = no_link.expect_err("not yet").to_string();
    assert!(no_link.contains("does not know yet"), "{no_link}");

    enough.send(()).expect("it waits");
    let second = serving.await.expect("no panic");
    let links = GrpcLinks::start_beside(setup(2, second.into_listen()), Routes::default());
    let links = links.expect("usable");
    let mut incoming = links.accept(Class::Raft);
    assert_eq!(asked(&calls, &address).await, Code::Unimplemented);
    let (link, mut end) = time::timeout(DEADLINE, linked(&first, NodeId(2), &mut incoming))
        .await
        .expect("in time");
    link.sender.send(frame(1)).await.expect("it is open");
    assert_eq!(end.receiver.next().await, Ok(Some(frame(1))));
}

#[tokio::test]
async fn only_nodes_of_the_authority_may_call_and_are_called() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (authority(), authority());
    let mut node = port(files(&dir, &ours, 1)).await;
    let stranger = port(files(&dir, &theirs, 2)).await.calls();
    let friend = port(files(&dir, &ours, 3)).await.calls();
    let plain = port(Security::PlainTextOnLoopback).await.calls();
    let address = address(&node);
    node.serve(Routes::default(), async {
        assert_eq!(asked(&friend, &address).await, Code::Unimplemented);
        for other in [&stranger, &plain] {
            let code = asked(other, &address).await;
            assert!(
                matches!(code, Code::Unavailable | Code::Unknown | Code::Internal),
                "{code:?}"
            );
        }
    })
    .await;

    // A node that calls looks at the certificate, too.
    let mut stranger = port(files(&dir, &theirs, 4)).await;
    let address = self::address(&stranger);
    let calling = stranger.serve(Routes::default(), asked(&friend, &address));
    assert_eq!(calling.await, Code::Unavailable);
}

#[tokio::test]
async fn where_all_nodes_have_one_name_a_certificate_needs_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority();
    let named = |node: u64, name: &str| {
        let Security::Tls(mut files) = files(&dir, &authority, node) else {
            unreachable!("they were issued");
        };
        files.name = name.to_owned();
        Security::Tls(files)
    };
    // Every certificate has the name of its node in it; only that of node 1 is the common one.
    const COMMON: &str = "node-1.peers.test";
    let mut node = port(named(1, COMMON)).await;
    let other = port(named(2, COMMON)).await.calls();
    let same = port(named(1, COMMON)).await.calls();
    let address = address(&node);
    node.serve(Routes::default(), async {
        assert_eq!(asked(&same, &address).await, Code::Unimplemented);
        assert_eq!(asked(&other, &address).await, Code::PermissionDenied);
    })
    .await;
    let mut wrong = port(named(2, COMMON)).await;
    let address = self::address(&wrong);
    let calling = wrong.serve(Routes::default(), asked(&same, &address));
    assert_eq!(calling.await, Code::Unavailable);
}
