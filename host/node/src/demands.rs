//! Demands of a request beyond training. The node refuses by name those that it cannot enforce, and
//! never does less.

use fedwasm_protocol::{DataArgs, Mode, Reason, Refusal, RoundRequest, SecaggArgs};

use crate::privacy;
use crate::refusal::refusal;

/// Checks the demands of a request.
pub(crate) fn check(request: &RoundRequest, memory_mib_max: u64) -> Result<(), Refusal> {
    secagg(request.secagg.as_ref())?;
    scales(request)?;
    memory(&request.data, memory_mib_max)?;
    if request.secagg.is_some() && request.training.compression.is_some() {
        let text = "`training.compression` is given beside secure aggregation, whose sums are whole \
                    numbers of their own: leave one of them out";
        return Err(refusal(Reason::BadRequest, text.to_owned()));
    }
    privacy::check_asked(request.training.dp_args)
}

/// Scales of the federation travel with every round but the one that sums up what they are made of.
fn scales(request: &RoundRequest) -> Result<(), Refusal> {
    let bad = |text: &str| Err(refusal(Reason::BadRequest, text.to_owned()));
    if request.mode == Mode::Statistics {
        return match request.secagg {
            Some(_) => Ok(()),
            None => bad("statistics in the clear are asked for without a round"),
        };
    }
    let is_asked = request.mode == Mode::Scale;
    match (request.data.is_scaled_by_all(), request.scales.is_some()) {
        (false, true) => bad("`scales` are given, but `data.standardize` is not `federation`"),
        (false, false) if is_asked => {
            bad("sums for scales are asked for, but `data.standardize` is not `federation`")
        }
        (true, true) if is_asked => bad("sums for scales are asked for, and `scales` are given"),
        (true, false) if !is_asked => {
            bad("`data.standardize` is `federation`, but the request has no `scales`")
        }
        _ if is_asked && request.training.shuffle_testing_dataset => bad(
            "scales are made once, and `shuffle_testing_dataset` holds out other rows in every round",
        ),
        _ => Ok(()),
    }
}

/// Rows would come in another order if the node kept less than it is asked to.
fn memory(data: &DataArgs, max: u64) -> Result<(), Refusal> {
    let asked = data.memory_mib();
    if asked <= max {
        return Ok(());
    }
    let text = format!(
        "`data.memory_mib` is {asked}, but this node keeps at most {max} MiB of a dataset in \
         memory; with `memory_mib = {max}` it reads larger datasets block by block"
    );
    Err(refusal(Reason::Unsupported, text))
}

/// The ways in which the node departs from the request, in words.
pub(crate) fn warnings(request: &RoundRequest) -> Vec<String> {
    let gpu = "`use_gpu` is true, but plans run on the CPU";
    request.training.use_gpu.then(|| gpu.to_owned()).into_iter().collect()
}

/// The rules of Fed-BioMed's nodes: both contexts or neither, with a random number.
fn secagg(args: Option<&SecaggArgs>) -> Result<(), Refusal> {
    let bad = |text: &str| Err(refusal(Reason::BadRequest, text.to_owned()));
    let Some(args) = args else { return Ok(()) };
    if args.random.is_some_and(|random| !(0.0..1.0).contains(&random)) {
        return bad("`secagg.random` is not in [0, 1)");
    }
    match (&args.servkey_id, &args.biprime_id) {
        (Some(_), None) => bad("`secagg.servkey_id` is given without `secagg.biprime_id`"),
        (None, Some(_)) => bad("`secagg.biprime_id` is given without `secagg.servkey_id`"),
        (Some(_), Some(_)) if args.random.is_none() => {
            bad("`secagg.servkey_id` and `secagg.biprime_id` are given without `secagg.random`")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datasets_take_no_more_memory_than_the_node_gives() {
        let asks = |memory_mib| DataArgs { memory_mib, ..DataArgs::of("y") };
        for (memory_mib, max) in [(None, 256), (Some(100), 100), (Some(1), 1_024)] {
            assert!(memory(&asks(memory_mib), max).is_ok(), "{memory_mib:?} {max}");
        }
        for (memory_mib, max) in [(None, 255), (Some(101), 100), (Some(u64::MAX), 1_024)] {
            let refusal = memory(&asks(memory_mib), max).unwrap_err();
            let expected = format!("with `memory_mib = {max}`");
            assert!(refusal.message.contains(&expected), "{}", refusal.message);
        }
    }
}
