//! Researchers that are gone: how long nodes work for them.

use crate::support::{Edit, Federation, event, part};

#[test]
fn work_for_a_dead_researcher_ends_with_its_lease_or_for_the_next_one() {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    federation.node("n0", &file);
    let one = |text: String| text.edit("min_nodes = 2", "min_nodes = 1");
    let long =
        federation.experiment(|text| one(text).edit("epochs = 1", "num_updates = 100000000"));
    let running = federation.run(&long).start();
    running.wait_for(event("progress"));
    running.signal("KILL");
    // It may be back, but nobody has to wait for it.
    federation.nodes[0].wait_for_log("is gone; round");
    drop(running);
    // The node serves the next one at once.
    let short = federation.experiment(one);
    let next = federation.run(&short).start();
    federation.nodes[0].wait_for_log("no longer waits");
    assert_eq!(next.end().0, 0);
    // The same after Ctrl-C.
    let long =
        federation.experiment(|text| one(text).edit("epochs = 1", "num_updates = 100000000"));
    let running = federation.run(&long).start();
    running.wait_for(event("progress"));
    running.signal("INT");
    federation.nodes[0].wait_for_log("no longer waits");
    assert_eq!(running.end().0, 1);
    // Without another one it is worked for until its lease is over.
    federation.nodes.clear();
    let config = federation.dir.path().join("n0/node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.edit("lease_s = 120", "lease_s = 10")).unwrap();
    federation.start_node("n0");
    let running = federation.run(&long).start();
    running.wait_for(event("progress"));
    drop(running);
    federation.nodes[0].wait_for_log("has not been heard for 10 s: its round is cancelled");
    federation.nodes[0].wait_for_log("no longer waits");
}
