//! Replies of nodes: what in them is believed, and what is not.

use fedwasm_params::{Params, from_safetensors};
use fedwasm_protocol::{Body, Mode, NodeTiming, Reason, RoundReply};
use fedwasm_sandbox::Declaration;

use crate::columns::Member;
use crate::requests::Answer;

/// The most metrics of a node, the plan's and the host's, and the longest name
/// of one in bytes.
const METRICS_MAX: usize = 128;
const METRIC_BYTES_MAX: usize = 64;

/// Why a node whose will arrived is dropped.
pub(crate) const GONE: &str = "it is gone (its last will arrived)";

/// Whether a reply holds what was asked for, in numbers that can be: no more
/// rows than the node announced, and nothing that is not finite.
pub(crate) fn is_sound(reply: &RoundReply, mode: Mode, member: &Member) -> bool {
    let complete = match mode {
        Mode::Train => reply.params.is_some(),
        Mode::Validate => reply.evaluation.is_some(),
    };
    let rows = |n| (1..=member.n_rows).contains(&n);
    let metric = |(name, value): (&String, &f64)| {
        value.is_finite() && name.len() <= METRIC_BYTES_MAX && !name.chars().any(char::is_control)
    };
    let scores = reply.evaluation.as_ref().is_none_or(|evaluation| {
        let n_metrics = evaluation.metrics.len();
        rows(evaluation.n_rows) && n_metrics <= METRICS_MAX && evaluation.metrics.iter().all(metric)
    });
    let NodeTiming { download_ms, prepare_ms, train_ms, upload_ms } = reply.timing;
    let times = [download_ms, prepare_ms, train_ms, upload_ms];
    complete
        && rows(reply.n_samples)
        && scores
        && reply.train_loss.is_none_or(f64::is_finite)
        && times.iter().all(|ms| ms.is_finite() && *ms >= 0.0)
}

/// Reads an update and checks that it is exactly what the plan declares, and
/// finite.
pub(crate) fn update(declaration: &Declaration, bytes: &[u8]) -> Result<Params, String> {
    let params = from_safetensors(bytes).map_err(|error| error.to_string())?;
    let specs = declaration.model.iter();
    let specs = specs.map(|spec| (spec.name.as_str(), spec.dtype, spec.shape.as_slice()));
    let tensors = params.arrange(specs).map_err(|error| error.to_string())?;
    if let Some(at) = tensors.iter().position(|tensor| !tensor.is_finite()) {
        return Err(format!("its parameter `{}` is not finite", declaration.model[at].name));
    }
    let names = declaration.model.iter().map(|spec| spec.name.clone());
    Params::new(names.zip(tensors).collect()).map_err(|error| error.to_string())
}

pub(crate) fn why_not(answer: Answer) -> (Reason, String) {
    match answer {
        Answer::Refused(refusal) => (refusal.reason, refusal.message),
        Answer::Gone => (Reason::Expired, GONE.to_owned()),
        Answer::Silent => (Reason::Expired, "it did not answer before the deadline".into()),
        Answer::Reply(Body::RoundReply(_)) => {
            let text = "its reply lacks something, or holds more rows than it announced or \
                        numbers that are not finite";
            (Reason::Internal, text.into())
        }
        Answer::Reply(_) => (Reason::Internal, "it answered something else".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::{BlobRef, Evaluation};

    fn reply() -> RoundReply {
        RoundReply {
            params: Some(BlobRef::of(b"x")),
            n_samples: 8,
            n_steps: 1,
            train_loss: Some(0.5),
            evaluation: Some(Evaluation { n_rows: 2, metrics: [("loss".into(), 0.5)].into() }),
            timing: NodeTiming::default(),
        }
    }

    fn with(change: impl FnOnce(&mut RoundReply)) -> bool {
        let mut reply = reply();
        change(&mut reply);
        let member = Member { dataset_id: "d".parse().unwrap(), n_rows: 10 };
        is_sound(&reply, Mode::Train, &member)
    }

    fn metrics(reply: &mut RoundReply) -> &mut fedwasm_protocol::Metrics {
        &mut reply.evaluation.as_mut().unwrap().metrics
    }

    #[test]
    fn impossible_numbers_are_not_believed() {
        assert!(with(|_| {}));
        assert!(with(|reply| reply.n_samples = 10));
        assert!(!with(|reply| reply.n_samples = 11));
        assert!(!with(|reply| reply.n_samples = 0));
        assert!(!with(|reply| reply.params = None));
        assert!(!with(|reply| reply.train_loss = Some(f64::NAN)));
        assert!(!with(|reply| reply.timing.train_ms = f64::INFINITY));
        assert!(!with(|reply| reply.evaluation.as_mut().unwrap().n_rows = u64::MAX));
        assert!(!with(|reply| _ = metrics(reply).insert("x".into(), f64::INFINITY)));
        assert!(!with(|reply| _ = metrics(reply).insert("\x1b[31m".into(), 1.0)));
    }
}
