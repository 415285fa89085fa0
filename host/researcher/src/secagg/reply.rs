//! The checks on a node's masked answer: nothing of the node alone is in it, and its terms are those
//! that were asked for or stricter.

use fedwasm_privacy::Stream;
use fedwasm_protocol::{RoundReply, SecaggTerms};

use super::Demand;

/// Bytes of a lane.
const LANE_BYTES: usize = 8;

/// Checks a reply.
///
/// # Errors
/// The mistake, for people.
pub(crate) fn check_masked(reply: &RoundReply, demand: &Demand) -> Result<(), String> {
    let Some(terms) = &reply.secagg else {
        return Err("it answered in the clear, but secure aggregation was asked for".into());
    };
    check_terms(terms, demand)?;
    if reply.params.is_none() {
        return Err("it sent no masked vectors".into());
    }
    let mut lengths = demand.coding.layout().lengths();
    let check = lengths.find(|(stream, _)| *stream == Stream::Check);
    match (&reply.encryption_factor, check) {
        (None, Some(_)) => return Err("it sent no check value (`encryption_factor`)".into()),
        (Some(_), None) => return Err("it sent a check value that was not asked for".into()),
        (Some(bytes), Some((_, n))) if bytes.len() != n * LANE_BYTES => {
            let (got, expected) = (bytes.len(), n * LANE_BYTES);
            return Err(format!("its check value has {got} bytes, expected {expected}"));
        }
        _ => {}
    }
    let in_the_clear = [
        ("rows", reply.n_samples > 0),
        ("steps", reply.n_steps > 0),
        ("a training loss", reply.train_loss.is_some()),
        ("scores", reply.evaluation.is_some()),
        ("auxiliary variables", reply.aux.is_some()),
        ("sums of columns", reply.sums.is_some()),
        ("numbers of its optimizer", !reply.optimizer_args.is_empty()),
    ];
    match in_the_clear.iter().find(|(_, told)| *told) {
        None => Ok(()),
        Some((part, _)) => Err(format!("it told {part} in the clear beside its masked vectors")),
    }
}

fn check_terms(terms: &SecaggTerms, Demand { args, n_parties, .. }: &Demand) -> Result<(), String> {
    let SecaggTerms { scheme, sum_id, parties, min_parties, clip, .. } = terms;
    if *scheme != args.scheme {
        return Err(format!("it used scheme `{scheme}`, `{}` was asked for", args.scheme));
    }
    if *sum_id != args.sum_id {
        return Err("its part is of another sum".into());
    }
    let n = u32::try_from(*n_parties).unwrap_or(u32::MAX);
    if *parties != n {
        return Err(format!("it masked for {parties} nodes, {n} were asked"));
    }
    if *min_parties > n {
        return Err(format!("it needs sums of {min_parties} nodes, {n} were asked"));
    }
    // Written so that a NaN is refused.
    if !(*clip > 0.0 && *clip <= args.clip) {
        return Err(format!("it limits values to {clip}, at most {} was asked for", args.clip));
    }
    let noise = terms.noise_multiplier.unwrap_or_default();
    match noise.is_finite() && noise >= 0.0 {
        true => Ok(()),
        false => Err(format!("it claims noise of multiplier {noise}")),
    }
}
