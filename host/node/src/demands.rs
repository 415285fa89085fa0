//! Demands of a request beyond training. The node refuses by name those that it cannot enforce, and
//! never does less.

use fedwasm_protocol::{DataArgs, Reason, Refusal, RoundRequest, SecaggArgs};

use crate::privacy;
use crate::refusal::refusal;

/// Checks the demands of a request.
pub(crate) fn check(
    request: &RoundRequest,
    force_secagg: bool,
    memory_mib_max: u64,
) -> Result<(), Refusal> {
    secagg(request.secagg.as_ref(), force_secagg)?;
    memory(&request.data, memory_mib_max)?;
    privacy::check_asked(request.training.dp_args)
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

/// The rules of Fed-BioMed's nodes: both contexts or neither, with a random
/// number; and either may be forced.
fn secagg(args: Option<&SecaggArgs>, force: bool) -> Result<(), Refusal> {
    let bad = |text: &str| Err(refusal(Reason::BadRequest, text.to_owned()));
    let empty = SecaggArgs::default();
    let args = args.unwrap_or(&empty);
    if args.clipping_range == Some(0) {
        return bad("`secagg.clipping_range` is 0, expected at least 1");
    }
    let in_range = |random: f64| (0.0..1.0).contains(&random);
    match (&args.servkey_id, &args.biprime_id) {
        (None, None) if force => {
            let text = "this node trains under secure aggregation only, and the request does not \
                        enable it (`secagg.servkey_id`, `secagg.biprime_id`)";
            Err(refusal(Reason::Unsupported, text.to_owned()))
        }
        (None, None) => Ok(()),
        (Some(_), None) => bad("`secagg.servkey_id` is given without `secagg.biprime_id`"),
        (None, Some(_)) => bad("`secagg.biprime_id` is given without `secagg.servkey_id`"),
        (Some(_), Some(_)) if !args.random.is_some_and(in_range) => {
            bad("`secagg.random` is missing or not in [0, 1)")
        }
        (Some(servkey), Some(biprime)) => {
            let text = format!(
                "this node does not offer secure aggregation (contexts `{servkey}` and \
                 `{biprime}`), and it does not answer in the clear instead"
            );
            Err(refusal(Reason::Unsupported, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reason and the text of a refusal.
    fn refused(
        servkey: Option<&str>,
        biprime: Option<&str>,
        random: Option<f64>,
        force: bool,
    ) -> Option<(Reason, String)> {
        let args = SecaggArgs {
            servkey_id: servkey.map(str::to_owned),
            biprime_id: biprime.map(str::to_owned),
            random,
            clipping_range: None,
        };
        secagg(Some(&args), force).err().map(|refusal| (refusal.reason, refusal.message))
    }

    #[test]
    fn secure_aggregation_is_never_answered_in_the_clear() {
        let (reason, text) = refused(Some("k"), Some("b"), Some(0.5), false).unwrap();
        assert_eq!(reason, Reason::Unsupported);
        assert!(text.contains("contexts `k` and `b`"), "{text}");
        let (reason, text) = refused(None, None, None, true).unwrap();
        assert_eq!(reason, Reason::Unsupported);
        assert!(text.contains("under secure aggregation only"), "{text}");
        assert_eq!(refused(None, None, None, false), None);
        assert!(secagg(None, true).is_err() && secagg(None, false).is_ok());
    }

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

    #[test]
    fn incoherent_demands_are_bad_requests() {
        for (servkey, biprime, random, expected) in [
            (Some("k"), None, Some(0.5), "without `secagg.biprime_id`"),
            (None, Some("b"), Some(0.5), "without `secagg.servkey_id`"),
            (Some("k"), Some("b"), None, "`secagg.random` is missing"),
            (Some("k"), Some("b"), Some(1.0), "not in [0, 1)"),
        ] {
            let (reason, text) = refused(servkey, biprime, random, true).unwrap();
            assert_eq!(reason, Reason::BadRequest);
            assert!(text.contains(expected), "{text}");
        }
        let zero = SecaggArgs { clipping_range: Some(0), ..SecaggArgs::default() };
        assert!(secagg(Some(&zero), false).is_err());
    }
}
