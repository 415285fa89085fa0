//! Federations over TLS, with certificates on both sides: the embedded broker, and mosquitto as
//! `fedwasm network init` configures it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fedwasm_trust::Member;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::support::{Edit, Running, event, fedwasm, listening, part, wait_until};

/// A federation with certificates; its nodes and its researcher have enrolled.
struct Tls {
    dir: tempfile::TempDir,
    mqtt: String,
    repository: String,
    nodes: Vec<Running>,
    _network: Running,
    mosquitto: Option<Child>,
}

impl Drop for Tls {
    fn drop(&mut self) {
        if let Some(mosquitto) = &mut self.mosquitto {
            let _ = mosquitto.kill();
            let _ = mosquitto.wait();
        }
    }
}

/// Whether mosquitto is there; where it must be, its absence is a failure.
#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
pub fn has_mosquitto() -> bool {
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

fn mosquitto(network: &Path) -> (Child, u16) {
    let conf = network.join("broker/mosquitto.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    // As a service it would run as a user of its own, to whom the key is given.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    listening("mosquitto", |port| {
        let listener = format!("user root\nlistener {port} 127.0.0.1");
        std::fs::write(&conf, text.edit("listener 8883", &listener)).unwrap();
        Command::new("mosquitto")
            .env("PATH", &path)
            .arg("-c")
            .arg(&conf)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    })
}

impl Tls {
    fn start(with_mosquitto: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let network = dir.path().join("network");
        fedwasm(&["network", "init", "--name", "test", "--host", "127.0.0.1", "--dir"])
            .arg(&network)
            .ok();
        let (mosquitto, own) = match with_mosquitto {
            true => {
                let (child, port) = mosquitto(&network);
                (Some(child), Some(format!("mqtts://127.0.0.1:{port}")))
            }
            false => (None, None),
        };
        let broker = if with_mosquitto { "off" } else { "127.0.0.1:0" };
        let running = fedwasm(&["network", "start", "--mqtt", broker, "--http", "127.0.0.1:0"])
            .arg("--dir")
            .arg(&network)
            .start();
        let ready = running.wait_for(event("ready"));
        let mqtt = own.unwrap_or_else(|| ready["mqtt"].as_str().unwrap().to_owned());
        let repository = ready["repository"].as_str().unwrap().to_owned();
        let tls = Self { dir, mqtt, repository, nodes: Vec::new(), _network: running, mosquitto };
        let researcher = tls.path("researcher");
        fedwasm(&["keys", "generate", "--as", "researcher-alice"]).arg(&researcher).ok();
        tls.enrol("researcher", "alice", &researcher.join("key.pem.pub"));
        let membership = tls.path("alice.json");
        fedwasm(&["keys", "join"]).arg(&researcher).arg(&membership).ok();
        tls
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn enrol(&self, role: &str, id: &str, key: &Path) {
        fedwasm(&["network", "enrol", "--role", role, "--id", id, "--dir"])
            .arg(self.path("network"))
            .arg("--key")
            .arg(key)
            .arg("-o")
            .arg(self.path(&format!("{id}.json")))
            .ok();
        if let Some(mosquitto) = &self.mosquitto {
            let hup = format!("kill -HUP {}", mosquitto.id());
            assert!(Command::new("sh").args(["-c", &hup]).status().unwrap().success());
        }
    }

    fn node(&mut self, id: &str, file: &Path) {
        let dir = self.path(id);
        let (mqtt, repository) = (&self.mqtt, &self.repository);
        fedwasm(&["node", "init", "--id", id, "--mqtt", mqtt, "--repository", repository])
            .args(&["--approve", "any"])
            .arg(&dir)
            .ok();
        // Without having joined it does not serve.
        let ended = fedwasm(&["node", "start"]).arg(&dir).run();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains("is not in the federation"), "{}", ended.stderr);
        self.enrol("node", id, &dir.join("identity/key.pem.pub"));
        fedwasm(&["node", "join"]).arg(&dir).arg(self.path(&format!("{id}.json"))).ok();
        fedwasm(&["node", "dataset", "add", "--name", "d", "--tags", "t", "--type", "csv"])
            .arg(&dir)
            .arg("--path")
            .arg(file)
            .ok();
        let node = fedwasm(&["node", "start"]).arg(&dir).start();
        node.wait_for(event("ready"));
        self.nodes.push(node);
    }

    fn experiment(&self) -> PathBuf {
        self.experiment_with("")
    }

    /// An experiment with these tables behind it.
    fn experiment_with(&self, tables: &str) -> PathBuf {
        let text = format!(
            "name = \"tls\"\nplan = \"{}\"\nrounds = 3\n[data]\ntags = [\"t\"]\ntarget = \"benign\"\n\
             [training]\nepochs = 1\ntest_ratio = 0.2\ntest_on_global_updates = true\n\
             random_seed = 42\n[model]\nn_classes = 2\n[strategy]\nmin_nodes = 3\n\
             [network]\nmqtt = \"{}\"\nrepository = \"{}\"\nidentity = \"researcher\"\n",
            crate::support::plan().display(),
            self.mqtt,
            self.repository,
        );
        let path = self.path("experiment.toml");
        std::fs::write(&path, text + tables).unwrap();
        path
    }

    /// The accuracy of an experiment under secure aggregation.
    fn run_secure(&self, scheme: &str) -> f64 {
        let tables = format!("[secagg]\nscheme = \"{scheme}\"\n");
        let run = fedwasm(&["--json", "experiment", "run"]).arg(self.experiment_with(&tables));
        run.ok().result()["metrics"]["accuracy"].as_f64().unwrap()
    }

    fn run(&self) -> Value {
        fedwasm(&["--json", "experiment", "run"]).arg(self.experiment()).ok().result()
    }
}

fn whole_experiment(with_mosquitto: bool) -> Value {
    let mut tls = Tls::start(with_mosquitto);
    for n in 0..3 {
        let file = part(tls.dir.path(), n, 3);
        tls.node(&format!("site-{n}"), &file);
    }
    let result = tls.run();
    assert_eq!(result["nodes"], json!(["site-0", "site-1", "site-2"]));
    assert_eq!(result["rounds"], json!(3));
    for scheme in ["masking", "double_masking"] {
        let off = tls.run_secure(scheme) - result["metrics"]["accuracy"].as_f64().unwrap();
        assert!(off.abs() < 0.01, "{scheme}: {off}");
    }
    // A revoked participant is refused from then on, by the repository, the broker and the nodes.
    fedwasm(&["network", "revoke", "--role", "researcher", "--id", "alice", "--dir"])
        .arg(tls.path("network"))
        .ok();
    let ended = fedwasm(&["experiment", "run"]).arg(tls.experiment()).run();
    assert_ne!(ended.code, 0);
    // Not even when its name has another key: the certificate of the old one opens nothing.
    let old = Member::open(&tls.path("researcher")).unwrap();
    fedwasm(&["keys", "generate", "--as", "researcher-alice"]).arg(tls.path("again")).ok();
    tls.enrol("researcher", "alice", &tls.path("again/key.pem.pub"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let root = format!("fedwasm/{}", old.membership().federation);
    let filter = format!("{root}/from/+/to/researcher-alice/s");
    // Mosquitto reads its list of revoked certificates in its own time.
    let is_shut = || !runtime.block_on(subscribe(&tls.mqtt, &old, &filter));
    match with_mosquitto {
        true => wait_until("the end of an old certificate", is_shut),
        false => assert!(is_shut(), "an old certificate opens something"),
    }
    fedwasm(&["keys", "join"]).arg(tls.path("again")).arg(tls.path("alice.json")).ok();
    let new = Member::open(&tls.path("again")).unwrap();
    assert!(runtime.block_on(subscribe(&tls.mqtt, &new, &filter)));
    result
}

#[test]
fn three_nodes_over_the_embedded_broker_with_tls() {
    whole_experiment(false);
}

#[test]
fn three_nodes_over_mosquitto_with_tls_certificates_and_access_list() {
    if has_mosquitto() {
        let result = whole_experiment(true);
        // The broker changes nothing in a result.
        assert_eq!(result["params_sha256"], whole_experiment(false)["params_sha256"]);
    }
}

/// The topics that a participant's own certificate opens at a broker, and those that it does not.
fn certificate_opens_its_own_only(with_mosquitto: bool) {
    let mut tls = Tls::start(with_mosquitto);
    let file = part(tls.dir.path(), 0, 3);
    tls.node("victim", &file);
    let thief = tls.path("thief");
    fedwasm(&["keys", "generate", "--as", "node-thief"]).arg(&thief).ok();
    tls.enrol("node", "thief", &thief.join("key.pem.pub"));
    fedwasm(&["keys", "join"]).arg(&thief).arg(tls.path("thief.json")).ok();
    let member = Member::open(&thief).unwrap();
    let root = format!("fedwasm/{}", member.membership().federation);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Mosquitto grants any subscription and delivers what may be read.
    if !with_mosquitto {
        let may_subscribe = |filter: &str| runtime.block_on(subscribe(&tls.mqtt, &member, filter));
        assert!(may_subscribe(&format!("{root}/from/+/to/node-thief/s")));
        for filter in [
            "#".to_owned(),
            format!("{root}/#"),
            format!("{root}/from/+/to/node-victim/s"),
            format!("{root}/from/+/to/+/s"),
        ] {
            assert!(!may_subscribe(&filter), "{filter}");
        }
    }
    // A question to the victim and its answer: the thief overhears who is there, and nothing else.
    let (subscribed, overheard) = std::thread::scope(|scope| {
        let (mqtt, member) = (&tls.mqtt, &member);
        let (say, said) = std::sync::mpsc::channel();
        let ears = scope.spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(overhear(mqtt, member, say))
        });
        let subscribed = said.recv_timeout(Duration::from_secs(20)).unwrap();
        fedwasm(&["nodes", "--mqtt", &tls.mqtt, "--repository", &tls.repository, "--identity"])
            .arg(tls.path("researcher"))
            .ok();
        (subscribed, ears.join().unwrap())
    });
    // Mosquitto grants everything and delivers what may be read; ours says no.
    match with_mosquitto {
        true => assert!(matches!(subscribed, SubscribeReasonCode::Success(_)), "{subscribed:?}"),
        false => assert_eq!(subscribed, SubscribeReasonCode::NotAuthorized),
    }
    let is_public = |topic: &String| topic.ends_with("/presence") || topic.ends_with("/farewell");
    assert!(overheard.iter().all(is_public), "{overheard:?}");
    assert_eq!(with_mosquitto, !overheard.is_empty());
    // A message that it publishes as another arrives nowhere: the victim's presence stays.
    let topic = format!("{root}/from/node-victim/presence");
    runtime.block_on(publish(&tls.mqtt, &member, &topic));
    let heard = runtime.block_on(retained(&tls, &topic));
    assert!(heard.is_some_and(|payload| payload.len() > 100));
    // Without TLS no client gets in.
    let url = tls.mqtt.replace("mqtts", "mqtt").parse().unwrap();
    let told = runtime.block_on(fedwasm_transport::discover(&url)).unwrap_err().to_string();
    assert!(told.contains("cannot be reached"), "{told}");
}

/// The server of the roster may go on giving an old one: after a while members believe no one by
/// it.
#[test]
fn a_withheld_roster_expires() {
    let mut tls = Tls::start(false);
    let file = part(tls.dir.path(), 0, 3);
    tls.node("careful", &file);
    let dir = tls.path("careful");
    drop(tls.nodes.pop());
    let config = dir.join("node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let with = "roster_refresh_s = 1\nroster_age_max_s = 5";
    std::fs::write(&config, text.edit("roster_refresh_s = 30", with)).unwrap();
    let network = tls.path("network");
    let renew = || {
        let renew = fedwasm(&["--json", "network", "renew", "--days", "90", "--dir"]);
        renew.arg(&network).ok().result()
    };
    let ask = || {
        let nodes = fedwasm(&["--json", "nodes", "--mqtt", &tls.mqtt, "--repository"]);
        let nodes = nodes.arg(&tls.repository).arg("--identity").arg(tls.path("researcher"));
        // A node that believes no one is present, and does not answer.
        nodes.ok().result()["nodes"][0]["datasets"][0]["rows"].is_number()
    };
    let renewed = renew();
    let days = renewed["expires_ms"].as_u64().unwrap() - renewed["issued_ms"].as_u64().unwrap();
    assert_eq!(days, 90 * 24 * 60 * 60 * 1_000);
    let node = fedwasm(&["node", "start"]).arg(&dir).start();
    node.wait_for(event("ready"));
    // Its authority says 90 days; the operator of this node says five seconds.
    node.wait_for_log("until then every message is refused");
    assert!(!ask());
    node.wait_for_log("is too old: later revocations are unknown");
    // A newer one is taken at the next look, which finds that it ages within the second.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        renew();
        node.wait_for_log("offers a newer one");
        if ask() {
            break;
        }
        assert!(Instant::now() < deadline, "it believes nobody any more");
    }
}

#[test]
fn a_certificate_grants_its_own_topics_at_the_embedded_broker() {
    certificate_opens_its_own_only(false);
}

#[test]
fn a_certificate_grants_its_own_topics_at_mosquitto() {
    if has_mosquitto() {
        certificate_opens_its_own_only(true);
    }
}

fn connect(mqtt: &str, member: &Member) -> (AsyncClient, EventLoop) {
    let port = mqtt.rsplit_once(':').unwrap().1.parse().unwrap();
    let id = format!("{}.test", member.participant());
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    options.set_clean_start(true);
    let files = member.membership().tls.as_ref().unwrap();
    let pem = |text: &str| {
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap()
    };
    let mut roots = rustls::RootCertStore::empty();
    pem(&files.ca).into_iter().for_each(|ca| roots.add(ca).unwrap());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(pem(&files.certificate), member.key().to_pkcs8().into())
        .unwrap();
    let config = TlsConfiguration::Rustls(std::sync::Arc::new(config));
    options.set_transport(Transport::tls_with_config(config));
    AsyncClient::new(options, 10)
}

async fn subscribe(mqtt: &str, member: &Member, filter: &str) -> bool {
    let (client, mut events) = connect(mqtt, member);
    client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                let granted = |code: &_| matches!(code, SubscribeReasonCode::Success(_));
                return ack.return_codes.iter().all(granted);
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// All topics that reach a subscriber of everything within two seconds; says first what the broker
/// answered to the subscription.
async fn overhear(
    mqtt: &str,
    member: &Member,
    say: std::sync::mpsc::Sender<SubscribeReasonCode>,
) -> Vec<String> {
    let (client, mut events) = connect(mqtt, member);
    client.subscribe("#", QoS::AtLeastOnce).await.unwrap();
    let mut heard = Vec::new();
    let listen = async {
        while let Ok(event) = events.poll().await {
            match event {
                Event::Incoming(Packet::Publish(said)) => {
                    heard.push(String::from_utf8_lossy(&said.topic).into_owned());
                }
                Event::Incoming(Packet::SubAck(ack)) => say.send(ack.return_codes[0]).unwrap(),
                _ => {}
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), listen).await;
    heard
}

async fn publish(mqtt: &str, member: &Member, topic: &str) {
    let (client, mut events) = connect(mqtt, member);
    client.publish(topic, QoS::AtLeastOnce, true, vec![0]).await.unwrap();
    // It ends with an acknowledgement, a good one or not, or with the connection.
    while let Ok(event) = events.poll().await {
        if matches!(event, Event::Incoming(Packet::PubAck(_) | Packet::Disconnect(_))) {
            return;
        }
    }
}

async fn retained(tls: &Tls, topic: &str) -> Option<Vec<u8>> {
    let member = Member::open(&tls.path("researcher")).unwrap();
    let (client, mut events) = connect(&tls.mqtt, &member);
    client.subscribe(topic.replace("node-victim", "+"), QoS::AtLeastOnce).await.unwrap();
    while let Ok(event) = events.poll().await {
        if let Event::Incoming(Packet::Publish(said)) = event {
            return Some(said.payload.to_vec());
        }
    }
    None
}
