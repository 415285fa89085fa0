//! Checks the replies of nodes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fedwasm_params::{Params, from_shared_safetensors, to_safetensors};
use fedwasm_privacy::{decompress, moved_where};
use fedwasm_protocol::{
    BlobRef, Body, Compression, Mode, NodeId, NodeTiming, Reason, RoundReply, TrainingArgs,
    printable,
};
use fedwasm_sandbox::{Declaration, Scope, TensorSpec, n_bytes};
use fedwasm_training::{batches_max, fitted};
use fedwasm_transport::Repository;
use fedwasm_trust::SKEW_MS;

use crate::requests::Answer;
use crate::secagg::specs;
use crate::{AuxVars, Error, Member, Reply};

/// The most metrics of a node, the plan's and the host's, and the longest name
/// of one in bytes.
const METRICS_MAX: usize = 192;
const METRIC_BYTES_MAX: usize = 64;
/// The most warnings of a node, and the longest in bytes.
const WARNINGS_MAX: usize = 16;
const WARNING_BYTES_MAX: usize = 512;
/// The most bytes of a safetensors file beside its tensors: its header.
pub(crate) const HEADER_BYTES_MAX: u64 = 1 << 20;

/// The reason for dropping a node whose last will arrived.
pub(crate) const GONE: &str = "its connection is lost (its last will arrived)";

/// Whether a reply answers the request, with possible numbers: no more
/// rows than the node announced, no more steps than batches, and nothing that is
/// not finite.
pub(crate) fn is_sound(
    reply: &RoundReply,
    mode: Mode,
    training: &TrainingArgs,
    member: &Member,
) -> bool {
    let is_compressed = mode == Mode::Train && training.compression.is_some();
    let complete = match mode {
        Mode::Train => reply.params.is_some(),
        Mode::Validate => reply.evaluation.is_some(),
        Mode::Scale => reply.sums.is_some(),
        // They are asked for under masks alone.
        Mode::Statistics => false,
    };
    let rows = |n| (1..=member.n_rows).contains(&n);
    let metric = |(name, value): (&String, &f64)| {
        value.is_finite() && name.len() <= METRIC_BYTES_MAX && printable(name) == *name
    };
    let scores = reply.evaluation.as_ref().is_none_or(|evaluation| {
        let n_metrics = evaluation.metrics.len();
        rows(evaluation.n_rows)
            && n_metrics <= METRICS_MAX
            && evaluation.metrics.iter().all(metric)
            && evaluation.sums.as_ref().is_none_or(|sums| sums.rows() == evaluation.n_rows)
    });
    let optimizer = &reply.optimizer_args;
    complete
        && reply.compressed.is_some() == is_compressed
        && optimizer.len() <= METRICS_MAX
        && optimizer.iter().all(metric)
        && is_well_formed(reply)
        // Secure aggregation was not asked for.
        && reply.encryption_factor.is_none()
        && reply.secagg.is_none()
        && rows(reply.n_samples)
        && reply.n_steps <= batches_max(reply.n_samples, training)
        && scores
        && reply.train_loss.is_none_or(f64::is_finite)
}

/// Whether the words of a reply are few, its times possible, and bytes only where they belong.
pub(crate) fn is_well_formed(reply: &RoundReply) -> bool {
    let NodeTiming { download_ms, prepare_ms, train_ms, process_ms, upload_ms } = reply.timing;
    let times = [download_ms, prepare_ms, train_ms, process_ms, upload_ms];
    let words = reply.warnings.iter().chain([&reply.device]);
    reply.warnings.len() <= WARNINGS_MAX
        && (reply.params_inline.is_none() || reply.params.is_some() && reply.compressed.is_none())
        && words.map(String::len).all(|len| len <= WARNING_BYTES_MAX)
        && times.iter().all(|ms| ms.is_finite() && *ms >= 0.0)
}

/// The most rows behind any number of a reply.
fn rows_max(reply: &RoundReply) -> u64 {
    let scored = reply.evaluation.as_ref().map_or(0, |evaluation| evaluation.n_rows);
    reply.n_samples.max(scored)
}

/// A node's upload, fetched and checked.
#[derive(Debug)]
pub struct Fetched {
    /// Its reply, with the parameters.
    pub reply: Reply,
    /// The bytes of the parameters.
    pub upload: Arc<Vec<u8>>,
    /// The bytes of the auxiliary variables.
    pub upload_aux: Option<Arc<Vec<u8>>>,
}

/// Fetches the blobs of a reply and checks that they have exactly the declared tensors, all finite.
/// An error names the node's mistake.
///
/// * `start` — the parameters that the round started from, and how updates travel, if not as whole
///   parameters.
pub(crate) async fn accept(
    reply: RoundReply,
    time: Duration,
    declaration: &Declaration,
    repository: &Repository,
    start: Option<(&Params, Compression)>,
) -> Result<Fetched, (Reason, String)> {
    let wrong = |text: String| (Reason::PlanFailed, text);
    let unreachable = |error: fedwasm_transport::Error| (Reason::Blob, error.to_string());
    let model: Vec<&TensorSpec> = of_scope(&declaration.model, Scope::Shared);
    let bound = |specs: &[TensorSpec]| n_bytes(specs) + HEADER_BYTES_MAX;
    let too_large = |what: &str, size: u64| {
        Err(wrong(format!("its {what} have {size} bytes, which is too large")))
    };
    let inline = reply.params_inline.as_deref();
    let (digest, upload) = match reply.params {
        None => return Err(wrong("it sent no parameters".into())),
        Some(blob) if blob.size > bound(&declaration.model) => {
            return too_large("parameters", blob.size);
        }
        Some(blob) => {
            let bytes = match (&reply.compressed, start) {
                (Some(update), Some(start)) => {
                    let max = n_bytes(&declaration.model);
                    if update.blob.size > max {
                        return too_large("updates", update.blob.size);
                    }
                    let update = repository.get_payload(update).await.map_err(unreachable)?;
                    uncompressed(&update, start, declaration, &blob).map_err(wrong)?
                }
                _ => repository.get_carried(&blob, inline).await.map_err(unreachable)?,
            };
            (blob.sha256, Arc::new(bytes))
        }
    };
    let (aux, upload_aux) = match &reply.aux {
        None => (Params::default(), None),
        Some(payload) if payload.blob.size > bound(&declaration.aux_out) => {
            return too_large("auxiliary variables", payload.blob.size);
        }
        Some(payload) => {
            let bytes = Arc::new(repository.get_payload(payload).await.map_err(unreachable)?);
            let aux = from_shared_safetensors(&bytes).map_err(|error| wrong(error.to_string()))?;
            (aux, Some((payload.blob.sha256, bytes)))
        }
    };
    let params = from_shared_safetensors(&upload).map_err(|error| wrong(error.to_string()))?;
    let aux_out: Vec<&TensorSpec> = declaration.aux_out.iter().collect();
    let params =
        exactly(&model, params).map_err(|error| wrong(format!("its parameters: {error}")))?;
    let reply = Reply {
        params: Some(params),
        aux: exactly(&aux_out, aux)
            .map_err(|error| wrong(format!("its auxiliary variables: {error}")))?,
        upload: digest,
        upload_aux: upload_aux.as_ref().map(|(digest, _)| *digest),
        state_id: reply.state_id,
        n_samples: reply.n_samples,
        n_steps: reply.n_steps,
        train_loss: reply.train_loss,
        evaluation: reply.evaluation,
        optimizer_args: reply.optimizer_args,
        device: printable(&reply.device),
        warnings: reply.warnings.iter().map(|warning| printable(warning)).collect(),
        timing: reply.timing,
        total_ms: time.as_secs_f64() * 1e3,
    };
    Ok(Fetched { reply, upload, upload_aux: upload_aux.map(|(_, bytes)| bytes) })
}

/// Returns the parameters that a compressed update leads to, as safetensors; they are the ones that
/// the receipt names.
fn uncompressed(
    update: &[u8],
    (start, compression): (&Params, Compression),
    declaration: &Declaration,
    expected: &BlobRef,
) -> Result<Vec<u8>, String> {
    let (specs, _) = specs(declaration, Mode::Train);
    let length = |shape: &[u64]| shape.iter().fold(1, |n: u64, axis| n.saturating_mul(*axis));
    let lengths = specs.iter().map(|(_, _, shape)| usize::try_from(length(shape)));
    let lengths: Vec<usize> = lengths.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let update = decompress(update, &lengths, compression).map_err(|error| error.to_string())?;
    let params = moved_where(start, &specs, &update).map_err(|error| error.to_string())?;
    let bytes = to_safetensors(&params).map_err(|error| error.to_string())?;
    match expected.matches(&bytes) {
        true => Ok(bytes),
        false => Err("its compressed update does not lead to the parameters of its receipt".into()),
    }
}

/// Checks parameters that a person or a file gave; those local to nodes are
/// left out.
pub(crate) fn shared(
    declaration: &Declaration,
    params: Params,
) -> Result<Params, fedwasm_record::Error> {
    let params = fitted(declaration, params).map_err(fedwasm_record::Error::Shapes)?;
    let local = of_scope(&declaration.model, Scope::Local);
    let local: BTreeSet<&str> = local.iter().map(|spec| spec.name.as_str()).collect();
    let tensors = params.iter().filter(|(name, _)| !local.contains(name));
    let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
    let params = Params::new(tensors).map_err(fedwasm_record::Error::Shapes)?;
    let model = of_scope(&declaration.model, Scope::Shared);
    arranged(&model, params).map_err(fedwasm_record::Error::Shapes)
}

/// Checks a reply of an earlier run again: exactly the declared tensors.
pub(crate) fn kept(declaration: &Declaration, reply: Reply) -> Option<Reply> {
    let model = of_scope(&declaration.model, Scope::Shared);
    let params = reply.params.map(|params| exactly(&model, params)).transpose().ok()?;
    let aux_out: Vec<&TensorSpec> = declaration.aux_out.iter().collect();
    let aux = exactly(&aux_out, reply.aux).ok()?;
    Some(Reply { params, aux, ..reply })
}

/// Checks that the aggregator sends exactly the auxiliary variables that the
/// plan declares.
pub(crate) fn check_aux_vars(
    declaration: &Declaration,
    aux: &AuxVars,
    nodes: &[NodeId],
) -> Result<(), Error> {
    let check = |scope, params: Params| {
        let specs = of_scope(&declaration.aux_in, scope);
        arranged(&specs, params).map(drop).map_err(|error| Error::AuxVars {
            reason: format!(
                "{error}: the plan declares {}, but the aggregator sends other variables",
                match specs.is_empty() {
                    true => "none".to_owned(),
                    false => specs.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", "),
                }
            ),
        })
    };
    check(Scope::Shared, aux.shared.clone())?;
    nodes.iter().try_for_each(|node| check(Scope::Local, aux.own(node)))
}

/// The same where nodes keep their own: only those for all are sent.
pub(crate) fn check_shared_aux_vars(declaration: &Declaration, aux: &AuxVars) -> Result<(), Error> {
    let of_all = AuxVars { shared: aux.shared.clone(), ..AuxVars::default() };
    check_aux_vars(declaration, &of_all, &[])
}

fn of_scope(specs: &[TensorSpec], scope: Scope) -> Vec<&TensorSpec> {
    specs.iter().filter(|spec| spec.scope == scope).collect()
}

fn exactly(specs: &[&TensorSpec], params: Params) -> Result<Params, String> {
    let params = arranged(specs, params).map_err(|error| error.to_string())?;
    if let Some((name, _)) = params.iter().find(|(_, tensor)| !tensor.is_finite()) {
        return Err(format!("`{name}` is not finite"));
    }
    Ok(params)
}

fn arranged(specs: &[&TensorSpec], params: Params) -> Result<Params, fedwasm_params::Error> {
    let wanted = specs.iter();
    let wanted = wanted.map(|spec| (spec.name.as_str(), spec.dtype, spec.shape.as_slice()));
    let tensors = params.arrange(wanted)?;
    Params::new(specs.iter().map(|spec| spec.name.clone()).zip(tensors).collect())
}

/// How a node's clock is set.
pub(crate) fn clock(ahead_ms: i64) -> String {
    let s = ahead_ms.unsigned_abs().saturating_add(500) / 1_000;
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    format!("{s} s {side} this machine's")
}

/// The reason why an answer does not count, for people.
///
/// `n_rows` are those that the node announced.
pub(crate) fn why_not(answer: Answer, deadline: Duration, n_rows: u64) -> (Reason, String) {
    let seconds = deadline.as_secs();
    match answer {
        Answer::Refused(refusal) => (refusal.reason, refusal.message),
        Answer::Gone => (Reason::Expired, GONE.to_owned()),
        Answer::Clock { ahead_ms } => {
            let (clock, max) = (clock(ahead_ms), SKEW_MS / 1_000);
            let text = format!(
                "its clock is {clock}, and messages are refused if clocks differ by more than \
                 {max} s; correct the wrong clock"
            );
            (Reason::Expired, text)
        }
        Answer::Silent { progress: None } => {
            (Reason::Expired, format!("it did not answer before the deadline of {seconds} s"))
        }
        Answer::Silent { progress: Some((steps, steps_max)) } => {
            let text = format!(
                "it was at step {steps} of {steps_max} when the deadline of {seconds} s passed; \
                 raise `strategy.round_deadline_s`"
            );
            (Reason::Expired, text)
        }
        Answer::Reply(Body::RoundReply(reply)) if rows_max(&reply) > n_rows => {
            let text = format!(
                "it used {} rows but had announced {n_rows}, because its dataset was registered \
                 again since this experiment began; start a new experiment to use the rows that it \
                 has now",
                rows_max(&reply)
            );
            (Reason::Dataset, text)
        }
        Answer::Reply(Body::RoundReply(_)) => {
            let text = "its reply lacks a part, or has more rows than it announced, or numbers \
                        that are not finite";
            (Reason::Internal, text.into())
        }
        Answer::Reply(_) => (Reason::Internal, "its answer does not fit the request".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::{BlobRef, Evaluation};

    fn reply() -> RoundReply {
        RoundReply {
            params: Some(BlobRef::of(b"x")),
            params_inline: None,
            compressed: None,
            aux: None,
            sums: None,
            state_id: None,
            optimizer_args: [("lr".into(), 0.1)].into(),
            encryption_factor: None,
            secagg: None,
            device: "cpu".into(),
            warnings: Vec::new(),
            n_samples: 8,
            n_steps: 1,
            train_loss: Some(0.5),
            evaluation: Some(Evaluation {
                n_rows: 2,
                metrics: [("loss".into(), 0.5)].into(),
                sums: None,
            }),
            receipt: None,
            timing: NodeTiming::default(),
        }
    }

    fn with(change: impl FnOnce(&mut RoundReply)) -> bool {
        let mut reply = reply();
        change(&mut reply);
        let member = Member { dataset_id: "d".parse().unwrap(), n_rows: 10 };
        let training = "epochs = 2\nloader_args = { batch_size = 3 }\nrandom_seed = 1";
        let training = TrainingArgs::parse(training.parse().unwrap()).unwrap();
        is_sound(&reply, Mode::Train, &training, &member)
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
        // Eight rows in batches of three, twice.
        assert!(with(|reply| reply.n_steps = 6));
        assert!(!with(|reply| reply.n_steps = 7));
        assert!(!with(|reply| reply.params = None));
        assert!(with(|reply| reply.params_inline = Some(b"x".to_vec())));
        assert!(!with(|reply| reply.train_loss = Some(f64::NAN)));
        assert!(!with(|reply| reply.timing.train_ms = f64::INFINITY));
        assert!(!with(|reply| reply.timing.process_ms = -1.0));
        assert!(!with(|reply| reply.device = "x".repeat(513)));
        assert!(!with(|reply| reply.warnings = vec![String::new(); 17]));
        assert!(!with(|reply| reply.encryption_factor = Some(vec![1])));
        assert!(!with(|reply| _ = reply.optimizer_args.insert("lr".into(), f64::NAN)));
        assert!(!with(|reply| reply.evaluation.as_mut().unwrap().n_rows = u64::MAX));
        assert!(!with(|reply| _ = metrics(reply).insert("x".into(), f64::INFINITY)));
        for name in ["\x1b[31m", "\u{9b}2J", "\u{202e}ssol", "lo\u{200b}ss"] {
            assert!(!with(|reply| _ = metrics(reply).insert(name.into(), 1.0)), "{name:?}");
        }
    }

    #[test]
    fn given_parameters_are_rounded_to_what_the_plan_declares_and_must_be_finite() {
        use fedwasm_params::{DType, Tensor};
        let spec = |name: &str, scope| TensorSpec {
            name: name.into(),
            dtype: DType::Float32,
            shape: vec![2],
            trainable: true,
            scope,
        };
        let declaration = Declaration {
            inputs: Vec::new(),
            targets: Vec::new(),
            model: vec![spec("w", Scope::Shared), spec("own", Scope::Local)],
            aux_in: Vec::new(),
            aux_out: Vec::new(),
            state: Vec::new(),
        };
        let doubles = |values: [f64; 2]| {
            let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let tensor = Tensor::new(DType::Float64, vec![2], data).unwrap();
            let own = Tensor::from_f32(vec![2], &[0.0; 2]).unwrap();
            Params::new(vec![("own".into(), own), ("w".into(), tensor)]).unwrap()
        };
        let given = shared(&declaration, doubles([0.1, -3.0])).unwrap();
        assert_eq!(given.len(), 1);
        assert_eq!(*given.tensor("w").unwrap(), Tensor::from_f32(vec![2], &[0.1, -3.0]).unwrap());
        for wrong in [[f64::NAN, 0.0], [0.0, f64::INFINITY], [1e39, 0.0]] {
            let error = shared(&declaration, doubles(wrong)).unwrap_err().to_string();
            assert!(error.contains("tensor `w` is not finite in float32"), "{error}");
        }
        let longer = Tensor::from_f32(vec![3], &[0.0; 3]).unwrap();
        let longer = Params::new(vec![("w".into(), longer)]).unwrap();
        let error = shared(&declaration, longer).unwrap_err().to_string();
        assert!(error.contains("`w` is float32 [3], expected float32 [2]"), "{error}");
    }

    #[test]
    fn aggregator_and_plan_must_agree_on_auxiliary_variables() {
        let spec = |name: &str, scope| TensorSpec {
            name: name.into(),
            dtype: fedwasm_params::DType::Float32,
            shape: vec![1],
            trainable: false,
            scope,
        };
        let declaration = Declaration {
            inputs: Vec::new(),
            targets: Vec::new(),
            model: Vec::new(),
            aux_in: vec![spec("m.all", Scope::Shared), spec("m.own", Scope::Local)],
            aux_out: Vec::new(),
            state: Vec::new(),
        };
        let params = |name: &str| {
            let tensor = fedwasm_params::Tensor::from_f32(vec![1], &[1.0]).unwrap();
            Params::new(vec![(name.to_owned(), tensor)]).unwrap()
        };
        let node: NodeId = "a".parse().unwrap();
        let nodes = std::slice::from_ref(&node);
        let aux =
            AuxVars { shared: params("m.all"), by_node: [(node.clone(), params("m.own"))].into() };
        assert!(check_aux_vars(&declaration, &aux, nodes).is_ok());
        for wrong in [
            AuxVars::default(),
            AuxVars { shared: params("m.own"), ..aux.clone() },
            AuxVars { by_node: [].into(), ..aux.clone() },
        ] {
            let error = check_aux_vars(&declaration, &wrong, nodes).unwrap_err();
            assert!(matches!(error, Error::AuxVars { .. }), "{error}");
        }
    }
}
