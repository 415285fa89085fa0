//! Lines to a server, one for each participant, that can be cut.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use fedwasm_protocol::Participant;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Lines to one server.
pub(super) struct Lines {
    server: SocketAddr,
    lines: Mutex<HashMap<Participant, Line>>,
}

struct Line {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Lines {
    pub(super) fn new(server: SocketAddr) -> Self {
        Self { server, lines: Mutex::default() }
    }

    /// Where a participant reaches the server by its own line.
    pub(super) fn address(&self, who: &Participant) -> SocketAddr {
        let mut lines = self.lines.lock().unwrap();
        lines.entry(who.clone()).or_insert_with(|| Line::to(self.server)).address
    }

    pub(super) fn set_cut(&self, who: &Participant, is_cut: bool) {
        self.lines.lock().unwrap()[who].is_cut.send_replace(is_cut);
    }
}

impl Line {
    fn to(server: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let (is_cut, cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Connections during the cut are closed.
                if !*cut.borrow() {
                    tokio::spawn(carry(near, server, cut.clone()));
                }
            }
        });
        Self { address, is_cut }
    }
}

async fn carry(mut near: TcpStream, server: SocketAddr, mut cut: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
    let (mut near_read, mut near_write) = near.split();
    let (mut far_read, mut far_write) = far.split();
    let there = async {
        let _ = tokio::io::copy(&mut near_read, &mut far_write).await;
        let _ = far_write.shutdown().await;
        // A server may refuse before it has read all: its answer must not be lost with the rest.
        let _ = tokio::io::copy(&mut near_read, &mut tokio::io::sink()).await;
    };
    let back = async {
        let _ = tokio::io::copy(&mut far_read, &mut near_write).await;
        let _ = near_write.shutdown().await;
    };
    tokio::select! {
        _ = async { tokio::join!(there, back) } => {}
        _ = cut.wait_for(|cut| *cut) => {}
    }
}
