//! Sites behind links that are slow and break.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Edit as _, Federation, part, root};

/// Longer than ten megabytes take four times over a megabit a second.
const TIME_MAX: Duration = Duration::from_secs(1_200);

/// A link to a server.
#[derive(Clone)]
struct Link {
    to: String,
    /// Bytes a second, each way.
    rate: u64,
    /// How long a byte is on its way.
    delay: Duration,
    /// It hangs up after so many bytes of answers.
    answered_max: u64,
    hung_up: Arc<AtomicU64>,
}

impl Link {
    /// Its port on this machine.
    fn start(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let link = self.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&link.to)) else { return };
                let (asks, answers) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (there, back) = (link.clone(), link.clone());
                std::thread::spawn(move || there.carry(asks, far, u64::MAX));
                std::thread::spawn(move || back.carry(answers, near, back.answered_max));
            }
        });
        port
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, bytes_max: u64) {
        let (mut bytes, mut left, mut waits) = (vec![0; 8 << 10], bytes_max, true);
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            let delay = if waits { self.delay } else { Duration::ZERO };
            let time = delay + Duration::from_millis(n as u64 * 1_000 / self.rate);
            // The link's own time: the delay for the first bytes of a burst, then its rate.
            std::thread::sleep(time);
            waits = n < bytes.len();
            let n = n.min(usize::try_from(left).unwrap_or(usize::MAX));
            if to.write_all(&bytes[..n]).is_err() {
                break;
            }
            left -= n as u64;
            if left == 0 {
                self.hung_up.fetch_add(1, Ordering::SeqCst);
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}

/// A model of 31 × `hidden` numbers and a few, without scores; the result, and what nodes said.
fn run(hidden: u32, link: Option<(u64, Duration, u64)>) -> (Value, u64) {
    let mut federation = Federation::start();
    let hung_up = Arc::<AtomicU64>::default();
    let at = federation.repository.clone();
    let to = at.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let at = link.map_or(at, |(rate, delay, answered_max)| {
        let link = Link { to, rate, delay, answered_max, hung_up: Arc::clone(&hung_up) };
        format!("http://127.0.0.1:{}", link.start())
    });
    for node in 0..2 {
        let file = part(federation.dir.path(), node, 2);
        federation.node_with_repository(&format!("n{node}"), &file, &at);
    }
    let experiment = federation.experiment(|text| {
        let plan = root().join("plugins/dist/mlp.wasm");
        text.edit(&crate::support::plan().display().to_string(), &plan.display().to_string())
            .edit("test_on_global_updates = true", "test_on_global_updates = false")
            .edit("n_classes = 2", &format!("n_classes = 2\nhidden = {hidden}"))
            .edit("round_deadline_s = 120", "round_deadline_s = 900")
    });
    let (mut running, start) = (federation.run(&experiment).start(), Instant::now());
    while running.child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < TIME_MAX, "it does not end");
        // Between two looks.
        std::thread::sleep(Duration::from_millis(50));
    }
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
    let rounds = events.iter().filter(|event| event["event"] == "round");
    let nodes: Vec<&Value> = rounds.map(|round| &round["nodes"]).collect();
    assert_eq!(nodes, [&json!(["n0", "n1"]); 2], "{events:?}");
    (events.last().unwrap()["params_sha256"].clone(), hung_up.load(Ordering::SeqCst))
}

/// 1 MB through a link of 512 KiB a second that breaks after 300 KiB.
#[test]
fn a_slow_link_that_breaks_gives_the_same_bytes() {
    let (expected, _) = run(8_000, None);
    let link = (512 << 10, Duration::from_millis(20), 300 << 10);
    let (got, hung_up) = run(8_000, Some(link));
    assert_eq!(got, expected);
    // Two nodes fetch the model twice.
    assert!(hung_up >= 12, "{hung_up}");
}

/// `cargo test -p fedwasm --test it -- --ignored slow_links`
#[test]
#[ignore = "a quarter of an hour; by hand"]
fn ten_megabytes_over_a_megabit() {
    let (expected, _) = run(80_000, None);
    let link = (125_000, Duration::from_millis(50), 5 << 20);
    let (got, hung_up) = run(80_000, Some(link));
    assert_eq!(got, expected);
    println!("the same bytes over 1 Mbit/s and 100 ms, in spite of {hung_up} cuts");
}
