//! Servers that are hostile, or not of Postgres. Real ones are in tests/it/databases.rs.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fedwasm_sql::{Passwords, SnapshotLimits, Zeroizing, take_snapshot};

/// A server that does `answer` with each connection after its first message.
fn server(answer: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut first = [0; 1024];
            if connection.read(&mut first).is_ok_and(|n| n > 0) {
                answer(connection);
            }
        }
    });
    port
}

fn error(address: &str) -> String {
    let limits = SnapshotLimits { seconds: 2, ..SnapshotLimits::default() };
    let password = Some(Zeroizing::new("hunter2".to_owned()));
    let passwords = Passwords { password, file: None };
    let (source, mut out) = (address.parse().unwrap(), Vec::new());
    let error = take_snapshot(&source, "SELECT 1", limits, &passwords, &mut out).unwrap_err();
    let error = error.to_string();
    assert!(!error.contains("hunter2"), "{error}");
    error
}

/// The error about a server that sends these bytes and waits.
fn of_bytes(bytes: Vec<u8>) -> String {
    let port = server(move |mut connection| {
        let _ = connection.write_all(&bytes);
        let _ = connection.read(&mut [0; 64]);
        std::thread::sleep(Duration::from_secs(5));
    });
    error(&format!("postgres://u@127.0.0.1:{port}/d"))
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

const READY: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 0, b'Z', 0, 0, 0, 5, b'I'];

#[test]
fn answers_that_break_the_protocol_are_named_errors() {
    let long = [b'D', 0x7f, 0xff, 0xff, 0xff];
    for (bytes, expected) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "bytes of a row or message of the server"),
        (long.to_vec(), "bytes of a row or message of the server: more than 67108864"),
        (vec![b'R', 0, 0, 0, 3], "does not keep to the protocol"),
        (vec![0xff, 0, 0, 0, 4], "does not keep to the protocol"),
        (message(b'R', &7u32.to_be_bytes()), "a proof that is not known here"),
        (message(b'R', b"\0\0\0\x0aSOME-OTHER\0\0"), "offers no SCRAM-SHA-256"),
        (message(b'E', b"SFATAL\0C28P01\0Mno \x1b[31mentry\0\0"), "no [31mentry"),
        (message(b'E', b"Mnot ended"), "the Postgres server says"),
        (
            message(b'E', b"SERROR\0C22P02\0Minvalid input for integer: \"secret-cell\"\0\0"),
            "a value stopped the query; the server's log says which one (SQLSTATE 22P02)",
        ),
        (message(b'E', b"SERROR\0C23505\0MKey (name)=(secret-cell)\0\0"), "(SQLSTATE 23505)"),
        (message(b'E', b"SERROR\0C42703\0Mno column x\0\0"), "no column x (SQLSTATE 42703)"),
        ([READY, READY].concat(), "does not keep to the protocol"),
        (
            [READY, &message(b'Z', b"I"), &message(b'1', b""), &message(b'n', b"")].concat(),
            "has no answer",
        ),
        ([READY, &message(b'Z', b"I"), &message(b'T', b"\xff\xff")].concat(), "protocol"),
        ([READY, &message(b'Z', b"I"), &message(b'D', b"\0\x01\0\0\0\0")].concat(), "protocol"),
        (
            [
                READY,
                &message(b'Z', b"I"),
                // One column of int4, and a row whose cell has 2^31 - 1 bytes.
                &message(b'T', b"\0\x01x\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"),
                &message(b'Z', b"I"),
                &message(b'2', b""),
                &message(b'D', b"\0\x01\x7f\xff\xff\xff"),
            ]
            .concat(),
            "protocol",
        ),
        (
            [
                READY,
                &message(b'Z', b"I"),
                &message(b'T', b"\0\x01x\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"),
                &message(b'Z', b"I"),
                &message(b'D', b"\0\x01\0\0\0\x02ab"),
            ]
            .concat(),
            "column `x`, row 1: the value is not of the length of its type",
        ),
    ] {
        let error = of_bytes(bytes.clone());
        assert!(error.contains(expected), "{}: {error}", String::from_utf8_lossy(&bytes));
        assert!(!error.contains('\x1b') && !error.contains("secret-cell"), "{error}");
    }
}

#[test]
fn a_password_is_told_to_no_stranger() {
    let port = server(|mut connection| {
        let _ = connection.write_all(&message(b'R', &3u32.to_be_bytes()));
        let mut told = [0; 64];
        let n = connection.read(&mut told).unwrap_or(0);
        assert!(!told[..n].windows(7).any(|bytes| bytes == b"hunter2"));
    });
    // 0.0.0.0 is this machine, and not known to be.
    let told = error(&format!("postgres://u@0.0.0.0:{port}/d?sslmode=disable"));
    assert!(told.contains("wants the password in the clear"), "{told}");
    let port = server(|mut connection| drop(connection.write_all(b"N")));
    let told = error(&format!("postgres://u@127.0.0.1:{port}/d?sslmode=require"));
    assert!(told.contains("the server has none"), "{told}");
    let port = server(|mut connection| drop(connection.write_all(b"Sgarbage")));
    let told = error(&format!("postgres://u@127.0.0.1:{port}/d?sslmode=require"));
    assert!(told.contains("TLS"), "{told}");
}

#[test]
fn a_server_that_is_silent_or_never_ends_costs_the_time_limit() {
    let start = Instant::now();
    let silent = server(|_connection| std::thread::sleep(Duration::from_secs(30)));
    assert!(error(&format!("postgres://u@127.0.0.1:{silent}/d")).contains("within 2 s"));
    let notices = server(
        |mut connection| {
            while connection.write_all(&message(b'N', b"Mhello\0\0")).is_ok() {}
        },
    );
    assert!(error(&format!("postgres://u@127.0.0.1:{notices}/d")).contains("within 2 s"));
    let drops = server(|mut connection| {
        while connection.write_all(b"R").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let error_of_drops = error(&format!("postgres://u@127.0.0.1:{drops}/d"));
    assert!(error_of_drops.contains("message of the server"), "{error_of_drops}");
    assert!(start.elapsed() < Duration::from_secs(20));
    let closed = error("postgres://u@127.0.0.1:1/d");
    assert!(closed.contains("the Postgres server 127.0.0.1"), "{closed}");
    let absent = error("postgres://u@/d?host=/nowhere");
    assert!(absent.contains("localhost"), "{absent}");
}
