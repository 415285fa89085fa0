//! Links and repositories of members, at the servers of a federation with and without TLS.

use std::sync::Arc;
use std::time::Duration;

use fedwasm_protocol::{Body, Message, Presence, Recipient, RequestId};
use fedwasm_transport::{Error, Incoming, Link, LinkOptions, Repository, tls};
use fedwasm_trust::{Authority, Identity, Outgoing};

use super::{Net, net, net_with};
use crate::Broker;

async fn message(link: &mut Link, wanted: &Body) -> Message {
    let next = async {
        loop {
            match link.next().await {
                Some(Incoming::Message(message)) if message.body == *wanted => return *message,
                Some(_) => {}
                None => panic!("closed"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), next).await.unwrap()
}

fn ping(body: &Body) -> Outgoing<'_> {
    let request_id = RequestId::random().unwrap();
    let deadline = Duration::from_secs(1);
    Outgoing { recipient: None, request_id, in_reply_to: None, deadline, body }
}

async fn messages_presence_and_farewell_arrive(tls: bool) {
    let net = net(tls).await;
    // The researcher's roster is from before the node enrolled: it fetches the newer one.
    let mut researcher = net.link("researcher-r").await.unwrap();
    let mut node = net.link("node-n").await.unwrap();
    let online = Body::Presence(Presence { online: true });
    let presence = message(&mut researcher, &online).await;
    assert_eq!(presence.header.sender, "node-n".parse().unwrap());
    let to = Recipient {
        participant: presence.header.sender.clone(),
        session: presence.header.session.clone(),
    };
    let sent = researcher.sender().send(&to, ping(&Body::Ping)).await.unwrap();
    let got = message(&mut node, &Body::Ping).await;
    assert_eq!((got.digest, got.header.connection), (sent, 1));
    let back = Recipient { participant: got.header.sender, session: got.header.session };
    let pong = Outgoing { in_reply_to: Some(got.digest), ..ping(&Body::Pong) };
    node.sender().send(&back, pong).await.unwrap();
    assert_eq!(message(&mut researcher, &Body::Pong).await.header.in_reply_to, Some(sent));
    researcher.close().await;
    message(&mut node, &Body::Farewell).await;
    let mut other = net.link("researcher-s").await.unwrap();
    message(&mut other, &online).await;
    node.close().await;
    message(&mut other, &Body::Presence(Presence { online: false })).await;
    other.close().await;
    net.stop().await;
}

#[tokio::test]
async fn messages_arrive_in_the_clear_on_this_machine() {
    messages_presence_and_farewell_arrive(false).await;
}

#[tokio::test]
async fn messages_arrive_over_tls() {
    messages_presence_and_farewell_arrive(true).await;
}

#[tokio::test]
async fn absent_broker_is_an_error_with_its_address() {
    let Net { dir: _dir, broker, url, authority, repository, repository_url } = net(false).await;
    broker.stop().await;
    let again = Net {
        broker: Broker::start(([127, 0, 0, 1], 0).into(), &authority).await.unwrap(),
        dir: _dir,
        url: url.clone(),
        authority,
        repository,
        repository_url,
    };
    let error = again.link("node-a").await.unwrap_err().to_string();
    assert!(error.contains(&url.to_string()), "{error}");
    again.stop().await;
}

#[tokio::test]
async fn a_broker_that_only_knows_mqtt_3_is_told_by_name() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let net = net(false).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut packet = [0; 1_024];
            let n = stream.read(&mut packet).await.unwrap();
            // CONNECT, "MQTT", and the version; the answer is that of MQTT 3.1.1 (3.2.2).
            let at = packet[..n].windows(4).position(|name| name == b"MQTT").unwrap();
            let code = if packet[at + 4] == 4 { 0 } else { 1 };
            stream.write_all(&[0x20, 2, 0, code]).await.unwrap();
        }
    });
    let member = net.member("node-a");
    let repository = Repository::new(net.repository_url.parse().unwrap(), Some(&member));
    let (url, repository) = (format!("mqtt://{address}").parse().unwrap(), repository.unwrap());
    let told = Link::connect(LinkOptions::mqtt(url, member, repository)).await.unwrap_err();
    assert!(matches!(told, Error::OldBroker { .. }), "{told}");
    net.stop().await;
}

#[tokio::test]
async fn whoever_is_revoked_is_hung_up_on() {
    use tokio::io::AsyncReadExt as _;
    let net = net(true).await;
    let (mut stays, mut goes) =
        (net.link("node-a").await.unwrap(), net.link("node-b").await.unwrap());
    // A connection to the repository that would be good for half a minute more.
    let tls = tokio_rustls::TlsConnector::from(Arc::new(
        tls::client_config(&net.member("node-b")).unwrap(),
    ));
    let stream = tokio::net::TcpStream::connect(net.repository.address()).await.unwrap();
    let host = rustls::pki_types::ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let mut open = tls.connect(host, stream).await.unwrap();
    net.authority.revoke(&"node-b".parse().unwrap()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), open.read(&mut [0; 16])).await;
    assert!(!matches!(ended.unwrap(), Ok(1..)));
    let lost = async {
        loop {
            match goes.next().await {
                Some(Incoming::Lost { .. }) => return,
                Some(_) => {}
                None => panic!("closed"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), lost).await.unwrap();
    let other = tokio::time::timeout(Duration::from_secs(2), async {
        loop {
            if let Some(Incoming::Lost { reason }) = stays.next().await {
                return reason;
            }
        }
    });
    assert!(other.await.is_err(), "a key that was not revoked is disconnected");
    net.stop().await;
}

#[tokio::test]
async fn one_member_s_connections_shut_nobody_else_out() {
    let net = net(true).await;
    let member = net.member("node-flood");
    let tls = tokio_rustls::TlsConnector::from(Arc::new(tls::client_config(&member).unwrap()));
    let host = rustls::pki_types::ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    // Idle ones at both, as many as it may and more; and of a stranger without a word.
    let mut held = Vec::new();
    for address in [net.broker.address(), net.repository.address()] {
        for _ in 0..80 {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            held.extend(tls.connect(host.clone(), stream).await.ok());
        }
        for _ in 0..100 {
            held_silent(address).await;
        }
    }
    // It comes and goes all the time.
    let (broker, flood) = (net.broker.address(), tls.clone());
    let flood = tokio::spawn(async move {
        loop {
            let Ok(stream) = tokio::net::TcpStream::connect(broker).await else { continue };
            drop(flood.connect(host.clone(), stream).await);
        }
    });
    for n in 0..5 {
        let link = net.link(&format!("node-good-{n}")).await.unwrap();
        let good = net.member(&format!("node-good-{n}"));
        let repository = Repository::new(net.repository_url.parse().unwrap(), Some(&good));
        repository.unwrap().put(vec![n; 10]).await.unwrap();
        link.close().await;
    }
    flood.abort();
    drop(held);
    net.stop().await;
}

/// Connects and says nothing, for as long as the test runs.
async fn held_silent(address: std::net::SocketAddr) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::spawn(async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn the_same_node_twice_closes_the_first() {
    let net = net(false).await;
    let mut first = net.link("node-a").await.unwrap();
    let second = net.link("node-a").await.unwrap();
    let closed = async {
        loop {
            match first.next().await {
                Some(Incoming::Closed(Error::TakenOver { client_id, .. })) => return client_id,
                Some(_) => {}
                None => panic!("closed without a word"),
            }
        }
    };
    let closed = tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap();
    assert_eq!(closed, "node-a");
    second.close().await;
    net.stop().await;
}

#[tokio::test]
async fn nobody_gets_in_without_a_certificate_of_the_roster() {
    let net = net(true).await;
    let member = net.member("node-a");
    let other =
        Authority::create_with_tls(&net.dir.path().join("other"), "x", &["127.0.0.1".to_owned()]);
    // Another federation's certificate, and the same again after it was revoked.
    let stranger = Identity::create(&net.dir.path().join("x"), "node-x".parse().unwrap());
    let stranger = stranger.unwrap();
    let foreign = other.unwrap().enrol(&stranger.participant, stranger.key.public()).unwrap();
    let stranger = Arc::new(stranger.join(&foreign).unwrap());
    net.authority.revoke(member.participant()).unwrap();
    for member in [stranger, member] {
        let repository = Repository::new(net.repository_url.parse().unwrap(), Some(&member));
        let repository = repository.unwrap();
        let error = repository.put(vec![1]).await.unwrap_err();
        assert!(matches!(error, Error::RepositoryUnreachable { .. }), "{error}");
        let url = net.url.clone();
        let error = Link::connect(LinkOptions::mqtt(url, member, repository)).await.unwrap_err();
        assert!(matches!(error, Error::BrokerUnreachable { .. }), "{error}");
    }
    // In the clear, no client at all.
    let plain = net.repository_url.replace("https", "http").parse().unwrap();
    let plain = Repository::new(plain, None).unwrap();
    assert!(plain.put(vec![1]).await.is_err());
    net.stop().await;
}

#[tokio::test]
async fn blobs_are_for_their_recipients_and_within_the_quota() {
    let net = net_with(true, 4 << 20).await;
    let repository = |who: &str| {
        let member = net.member(who);
        Repository::new(net.repository_url.parse().unwrap(), Some(&member)).unwrap()
    };
    let (a, b, c) = (repository("node-a"), repository("node-b"), repository("researcher-c"));
    let experiment = "e".parse().unwrap();
    let d = repository("researcher-d");
    let all = ["node-b", "researcher-c"].map(|who| who.parse().unwrap());
    let for_b = a.for_recipients(all[..1].to_vec());
    let blob = for_b.put(vec![7; 10]).await.unwrap();
    assert_eq!(a.get(&blob).await.unwrap(), b.get(&blob).await.unwrap());
    let error = c.get(&blob).await.unwrap_err();
    assert!(matches!(error, Error::Repository { status: 404, .. }), "{error}");
    let error = c.of_experiment(&experiment).finish().await.unwrap_err();
    assert!(matches!(error, Error::Repository { status: 403, .. }), "{error}");
    // An experiment has no owner before a blob is stored: a failed upload claims nothing.
    let many = c.of_experiment(&experiment).put(vec![0; 5 << 20]).await.unwrap_err();
    assert!(matches!(many, Error::Repository { status: 507, .. }), "{many}");
    for name in ["starters", "experiments"] {
        let left = std::fs::read_dir(net.dir.path().join(name));
        assert_eq!(left.map_or(0, Iterator::count), 0, "{name}");
    }
    c.of_experiment(&experiment).put(vec![8]).await.unwrap();
    // No other participant stores in its name or ends it, except blobs for its researcher.
    for other in [&a, &d, &for_b] {
        let error = other.of_experiment(&experiment).put(Vec::new()).await.unwrap_err();
        assert!(matches!(error, Error::Repository { status: 403, .. }), "{error}");
        assert!(other.of_experiment(&experiment).finish().await.is_err());
    }
    let for_c = a.for_recipients(all[1..].to_vec()).of_experiment(&experiment);
    let blob_of_c = for_c.put(vec![9]).await.unwrap();
    assert_eq!(c.get(&blob_of_c).await.unwrap(), [9]);
    c.of_experiment(&experiment).finish().await.unwrap();
    // A late upload reopens nothing; only its researcher does.
    let late = for_c.put(vec![10]).await.unwrap_err();
    assert!(matches!(late, Error::Repository { status: 409, .. }), "{late}");
    for other in [&a, &d] {
        let refused = other.of_experiment(&experiment).reopen().await.unwrap_err();
        assert!(matches!(refused, Error::Repository { status: 403, .. }), "{refused}");
    }
    let store = crate::Store::files(net.dir.path()).unwrap();
    let pruned = crate::prune(&store, &crate::PruneOptions::default()).await.unwrap();
    assert_eq!((pruned.experiments, pruned.blobs, pruned.unfinished), (1, 2, 0));
    assert!(c.get(&blob_of_c).await.is_err());
    c.of_experiment(&experiment).reopen().await.unwrap();
    c.of_experiment(&experiment).put(vec![8]).await.unwrap();
    for_c.put(vec![10]).await.unwrap();
    net.authority.revoke(&"node-b".parse().unwrap()).unwrap();
    assert!(b.get(&blob).await.is_err());
    net.stop().await;
}
