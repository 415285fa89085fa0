//! The promises of transport's ports, kept by these servers and by mosquitto.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_protocol::Participant;
use fedwasm_transport::conformance::{self, BlobsUnderTest, MessagesUnderTest};
use fedwasm_transport::port::{Blobs, Messages};
use fedwasm_transport::{Http, Mqtt, Topics};

use super::line::Lines;
use super::{Net, net_with};

const ROOM: u64 = 16 << 20;

/// A broker of this federation, in the clear or not.
struct Brokered {
    net: Net,
    scheme: &'static str,
    lines: Lines,
}

impl MessagesUnderTest for Brokered {
    fn messages(&self, who: &Participant) -> Arc<dyn Messages> {
        let url = format!("{}://{}", self.scheme, self.lines.address(who)).parse().unwrap();
        Arc::new(Mqtt::new(url, self.net.member(&who.to_string())))
    }

    fn topics(&self) -> Topics {
        Topics::new(&self.net.authority.federation())
    }

    fn cut(&self, who: &Participant) {
        self.lines.set_cut(who, true);
    }

    fn mend(&self, who: &Participant) {
        self.lines.set_cut(who, false);
    }
}

/// The repository of a federation with certificates, which knows its clients.
struct Served {
    net: Net,
    lines: Lines,
}

impl BlobsUnderTest for Served {
    fn blobs(&self, who: &Participant) -> Arc<dyn Blobs> {
        let url = format!("https://{}", self.lines.address(who)).parse().unwrap();
        let member = self.net.member(&who.to_string());
        Arc::new(Http::new(url, Some(&member)).unwrap())
    }

    fn room(&self) -> u64 {
        ROOM
    }

    fn cut(&self, who: &Participant) {
        self.lines.set_cut(who, true);
    }

    fn mend(&self, who: &Participant) {
        self.lines.set_cut(who, false);
    }
}

/// Debian's broker, in the clear; with certificates it is tested through the binary.
struct Mosquitto(Child);

impl Mosquitto {
    fn start(dir: &Path) -> (Self, SocketAddr) {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let conf = dir.join("mosquitto.conf");
        let text = format!("listener {} 127.0.0.1\nallow_anonymous true\nuser root\n", free.port());
        std::fs::write(&conf, text).unwrap();
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let mut mosquitto = Command::new("mosquitto");
        let mosquitto = mosquitto.env("PATH", path).arg("-c").arg(&conf);
        let child = mosquitto.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let this = Self(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(free).is_err() {
            assert!(Instant::now() < deadline, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        (this, free)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether mosquitto is there; where it must be, its absence is a failure.
fn has_mosquitto() -> bool {
    let found = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].iter().any(|p| Path::new(p).exists());
    assert!(
        found || std::env::var_os("FEDWASM_REQUIRE_MOSQUITTO").is_none(),
        "mosquitto is not installed"
    );
    if !found {
        eprintln!("SKIPPED: mosquitto is not installed");
    }
    found
}

async fn embedded(tls: bool) {
    let net = net_with(tls, ROOM).await;
    let (scheme, lines) = (if tls { "mqtts" } else { "mqtt" }, Lines::new(net.broker.address()));
    let brokered = Brokered { net, scheme, lines };
    conformance::messages(&brokered).await;
    brokered.net.stop().await;
}

#[tokio::test]
async fn the_embedded_broker_carries_messages_as_promised() {
    embedded(false).await;
}

#[tokio::test]
async fn the_embedded_broker_with_certificates_carries_messages_as_promised() {
    embedded(true).await;
}

#[tokio::test]
async fn mosquitto_carries_messages_as_promised() {
    if !has_mosquitto() {
        return;
    }
    let net = net_with(false, ROOM).await;
    let (mosquitto, address) = Mosquitto::start(net.dir.path());
    let brokered = Brokered { net, scheme: "mqtt", lines: Lines::new(address) };
    conformance::messages(&brokered).await;
    drop(mosquitto);
    brokered.net.stop().await;
}

#[tokio::test]
async fn the_http_repository_keeps_blobs_as_promised() {
    let net = net_with(true, ROOM).await;
    let lines = Lines::new(net.repository.address());
    let served = Served { net, lines };
    conformance::blobs(&served).await;
    served.net.stop().await;
}
