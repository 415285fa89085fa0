//! Every key of an operator's floors against a request that asks for less: refused or tightened.

use fedwasm_privacy::Sum;
use fedwasm_protocol::{DpArgs, DpKind, Mode, Reason, SecaggScheme};

use super::{Stage, masked};
use crate::support::Edit;

#[test]
fn every_floor_of_secure_sums_holds() {
    let mut stage = Stage::new(4);
    let node = stage.nodes[0].clone();

    // `secagg`: required, and by which scheme; of a dataset above that of all.
    for floors in ["secagg = [\"double_masking\"]", "[d]\nsecagg = [\"double_masking\"]"] {
        stage.restart(floors);
        let refused = stage.ask(&node, &stage.good[&node]).unwrap_err();
        assert_eq!(refused.reason, Reason::Unsupported);
        assert!(refused.message.contains("only (`double_masking`)"), "{}", refused.message);
        let refused = stage.agree(&[0, 1, 2, 3]).unwrap_err();
        assert!(refused.message.contains("asks for `masking`"), "{}", refused.message);
    }

    // `min_parties`: when keys are drawn already.
    stage.restart("min_parties = 4");
    let refused = stage.agree(&[0, 1, 2]).unwrap_err();
    assert_eq!(refused.reason, Reason::Privacy);
    assert!(refused.message.contains("sums of 4 or more"), "{}", refused.message);
    let context = stage.agree(&[0, 1, 2, 3]).unwrap();
    let args = stage.args(SecaggScheme::Masking, context.id);
    let reply = stage.ask(&node, &stage.request(&node, &args)).unwrap();
    assert_eq!(reply.secagg.unwrap().min_parties, 4);

    // The request can only ask for more.
    let context = stage.agree(&[0, 1, 2, 3]).unwrap();
    let mut args = stage.args(SecaggScheme::Masking, context.id);
    args.min_parties = 5;
    let refused = stage.ask(&node, &stage.request(&node, &args)).unwrap_err();
    assert!(refused.message.contains("sums of 5 or more"), "{}", refused.message);

    // `secagg_clip`: tightened, echoed, told.
    stage.restart("secagg_clip = 0.001");
    stage.another_run(3);
    let context = stage.agree(&[0, 1, 2]).unwrap();
    let args = stage.args(SecaggScheme::Masking, context.id);
    let replies = stage.train(&context.parties, &args);
    let coding = stage.coding(&args, 3, Mode::Train);
    let mut sum = Sum::new(context.parties.clone(), coding.layout().clone());
    for (node, reply) in &replies {
        assert_eq!(reply.secagg.as_ref().unwrap().clip, 0.001);
        assert!(reply.warnings.iter().any(|text| text.contains("0.001")), "{:?}", reply.warnings);
        sum.add(node, &stage.vectors(reply, &coding)).unwrap();
    }
    let mean = coding.decode(&sum.finish().unwrap(), 3).unwrap().mean;
    assert!(mean.iter().all(|value| value.abs() <= 0.001 + 1e-6), "{mean:?}");
    assert!(mean.iter().any(|value| value.abs() > 0.0005));
}

#[test]
fn a_node_that_trains_under_secure_aggregation_only_does_not_answer_in_the_clear() {
    let mut stage = Stage::new(3);
    let file = stage.dir(0).join("node.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let config = config.edit("force_secure_aggregation = false", "force_secure_aggregation = true");
    std::fs::write(&file, config).unwrap();
    stage.kill(0);
    stage.start_node(0);
    let node = stage.nodes[0].clone();
    let refused = stage.ask(&node, &stage.good[&node]).unwrap_err();
    assert!(refused.message.contains("under secure aggregation only"), "{}", refused.message);
    let context = stage.agree(&[0, 1, 2]).unwrap();
    let args = stage.args(SecaggScheme::Masking, context.id);
    stage.ask(&node, &stage.request(&node, &args)).unwrap();
}

/// Noise of each node, and of all together.
#[test]
fn noise_is_in_the_sum_and_in_every_part() {
    let mut stage = Stage::new(3);
    let node = stage.nodes[0].clone();
    let noise = "clip = 0.5\nnoise_multiplier = 1.0\ntime_step_ms = 1";
    stage.restart(noise);
    // A sum in which nodes weigh by rows would drown the noise.
    let context = stage.agree(&[0, 1, 2]).unwrap();
    let mut args = stage.args(SecaggScheme::Masking, context.id);
    let refused = stage.ask(&node, &stage.request(&node, &args)).unwrap_err();
    assert_eq!(refused.reason, Reason::Privacy);
    assert!(refused.message.contains("weigh the same"), "{}", refused.message);

    // Asked for noise by the floor, and more by the request.
    args.equal_weights = true;
    let mut request = stage.request(&node, &args);
    request.training.dp_args = Some(DpArgs { kind: DpKind::Local, sigma: 2.0, clip: 1.0 });
    let terms = stage.ask(&node, &request).unwrap().secagg.unwrap();
    assert_eq!((terms.noise_multiplier, terms.honest_parties), (Some(2.0), Some(1)));

    // Counted on three nodes' noise, of which the sum must be.
    for (honest, ok) in [(3, true), (4, false)] {
        stage.restart(&format!("{noise}\nhonest_parties = {honest}"));
        let context = stage.agree(&[0, 1, 2]).unwrap();
        let mut args = stage.args(SecaggScheme::Masking, context.id);
        args.equal_weights = true;
        let answer = stage.ask(&node, &stage.request(&node, &args));
        match answer {
            Ok(reply) if ok => {
                assert_eq!(reply.secagg.as_ref().unwrap().honest_parties, Some(3));
                masked::check_receipt(&stage, 0, &reply);
            }
            Err(refused) if !ok => {
                assert!(refused.message.contains("the noise of 4"), "{}", refused.message);
            }
            other => panic!("{other:?}"),
        }
    }
    // The variance of a sum of shares is that of the whole.
    stage.restart(&format!("{noise}\nhonest_parties = 3"));
    let context = stage.agree(&[0, 1, 2]).unwrap();
    let mut args = stage.args(SecaggScheme::Masking, context.id);
    args.equal_weights = true;
    let coding = stage.coding(&args, 3, Mode::Train);
    let (mut squares, mut n) = (0.0, 0.0);
    for round in 1..=20 {
        let mut sum = Sum::new(context.parties.clone(), coding.layout().clone());
        for node in context.parties.iter() {
            let mut request = stage.request(node, &args);
            request.round = round;
            sum.add(node, &stage.vectors(&stage.ask(node, &request).unwrap(), &coding)).unwrap();
        }
        let decoded = coding.decode(&sum.finish().unwrap(), 3).unwrap();
        assert_eq!((decoded.n_samples, decoded.weight), (3, 3));
        // An update of norm 0.5 at most a node, and noise of 0.5 over the sum: its mean is a third.
        squares += decoded.mean.iter().map(|value| (value * 3.0).powi(2)).sum::<f64>();
        n += decoded.mean.len() as f64;
    }
    // The clipped updates add at most (3 * 0.5)^2 a round.
    let variance = squares / n;
    assert!((0.15..0.40).contains(&variance), "{variance}");
}
