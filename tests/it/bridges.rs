//! Brokers that hand messages to each other: sites at one, researchers at the other.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{Edit as _, Federation, Running, listening, part};
use crate::tls::has_mosquitto;

/// Mosquitto in the clear, with these lines in its configuration.
struct Mosquitto {
    child: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Mosquitto {
    fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("mosquitto.conf");
        let (child, port) = listening("mosquitto", |port| {
            let text =
                format!("listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n{more}");
            std::fs::write(&conf, text).unwrap();
            let mut mosquitto = Command::new("mosquitto");
            let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
            let mosquitto = mosquitto.env("PATH", path).arg("-c").arg(&conf);
            mosquitto.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        });
        Self { child, address: format!("127.0.0.1:{port}"), _dir: dir }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A federation of its own with two nodes, which know this broker.
fn federation(mqtt: Option<&str>) -> Federation {
    let mut federation = Federation::start();
    if let Some(mqtt) = mqtt {
        federation.mqtt = format!("mqtt://{mqtt}");
    }
    for node in 0..2 {
        let file = part(federation.dir.path(), node, 2);
        federation.node(&format!("n{node}"), &file);
    }
    federation
}

/// Its experiment, whose researcher knows another broker.
fn start(federation: &Federation, mqtt: &str) -> Running {
    let experiment = federation.experiment(|text| {
        text.edit(&federation.mqtt, &format!("mqtt://{mqtt}"))
            .edit("min_nodes = 2", "min_nodes = 2\nretries = 20")
    });
    federation.run(&experiment).start()
}

/// Two federations have their sites at one broker and their researchers at another, and a bridge
/// between the two. Its lines are those of the page on stores.
#[test]
fn two_federations_over_one_bridge() {
    if !has_mosquitto() {
        return;
    }
    let sites = Mosquitto::start("");
    let bridge = format!(
        "connection sites\naddress {}\nbridge_protocol_version mqttv50\ntopic fedwasm/# both 1\n\
         cleansession true\nnotifications false\n",
        sites.address
    );
    let researchers = Mosquitto::start(&bridge);
    let alone = federation(None);
    let whole = alone.run(&alone.experiment(|text| text)).ok().result();
    let federations = [federation(Some(&sites.address)), federation(Some(&sites.address))];
    let runs = federations.each_ref().map(|federation| start(federation, &researchers.address));
    for run in runs {
        let (code, events) = run.end();
        assert_eq!(code, 0, "{events:?}");
        let result: &Value = events.last().unwrap();
        assert_eq!(result["params_sha256"], whole["params_sha256"]);
        assert_eq!(result["nodes"], serde_json::json!(["n0", "n1"]));
    }
}
