//! The exit-code contract, where no other test covers it.

use crate::support::{Federation, event, fedwasm, plan};

#[test]
fn usage_is_exit_code_2_and_help_0() {
    assert_eq!(fedwasm(&["local", "--nonsense"]).run().code, 2);
    assert_eq!(fedwasm(&["experiment", "run", "/nowhere.toml"]).run().code, 2);
    assert_eq!(fedwasm(&["node", "start", "/nowhere"]).run().code, 2);
    assert_eq!(fedwasm(&["--help"]).run().code, 0);
}

#[test]
fn a_refused_component_is_exit_code_3() {
    let dir = tempfile::tempdir().unwrap();
    for (bytes, expected) in [
        (&b"\0asm\x01\0\0\0"[..], "a core module"),
        (b"import torch", "something else"),
        // A component that imports wasi:clocks/wall-clock@0.2.0, an empty instance.
        (
            b"\0asm\x0d\0\x01\0\x07\x03\x01\x42\0\x0a\x21\x01\0\x1cwasi:clocks/wall-clock@0.2.0\x05\0",
            "imports `wasi:clocks/wall-clock@0.2.0`",
        ),
    ] {
        let file = dir.path().join("p.wasm");
        std::fs::write(&file, bytes).unwrap();
        let ended = fedwasm(&["plan", "inspect"]).arg(&file).run();
        assert_eq!(ended.code, 3, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

#[test]
fn unreachable_broker_is_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("e.toml");
    let text = format!(
        "name = \"x\"\nplan = \"{}\"\nrounds = 1\n[data]\ntags = [\"t\"]\ntarget = \"y\"\n\
         [training]\nepochs = 1\n[model]\nn_classes = 2\n[network]\nrepository = \"http://127.0.0.1:1\"",
        plan().display()
    );
    std::fs::write(&file, text).unwrap();
    let ended = fedwasm(&["experiment", "run"]).arg(&file).run();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("http://127.0.0.1:1 cannot be reached"), "{}", ended.stderr);
}

#[test]
fn federation_without_nodes_is_exit_code_5() {
    let federation = Federation::start();
    let ended = federation.run(&federation.experiment(|text| text)).run();
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("0 of at least 2 nodes have the data"), "{}", ended.stderr);
}

#[test]
fn plain_text_to_another_machine_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ended = fedwasm(&["network", "start", "--http", "0.0.0.0:0", "--mqtt", "127.0.0.1:0"])
        .current_dir(dir.path())
        .run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("its address does not encrypt"), "{}", ended.stderr);
}

#[test]
fn a_network_is_served_by_one_program_alone() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        fedwasm(&["network", "start", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--dir"])
            .arg(dir.path().join("network"))
    };
    let first = start().start();
    first.wait_for(event("ready"));
    // As many files as it may: the usual 1,024 are too few.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", first.child.id())).unwrap();
    let files: Vec<&str> = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(files[0], files[1], "{limits}");
    let ended = start().run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("another `fedwasm network start` serves this directory"),
        "{}",
        ended.stderr
    );
    drop(first);
    start().start().wait_for(event("ready"));
}
