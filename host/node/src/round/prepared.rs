//! A round whose plan and data are ready: it trains or scores, and keeps the state for the next
//! round.

use std::sync::Arc;

use fedwasm_params::{Params, Tensor, from_safetensors, from_shared_safetensors, to_safetensors};
use fedwasm_privacy::Numbers;
use fedwasm_protocol::{
    ColumnSums, Digest, Evaluation, Metrics, Mode, Reason, Refusal, RoundRequest, Sums, seed,
};
use fedwasm_sandbox::{Cancel, Declaration, Limits, Profile, Scope, TensorSpec};
use fedwasm_training::{Before, Events, Examples, Length, Round, SiteNumbers, Trained, Turn};

use super::keeping::Keeping;
use super::{Done, Fetched, Used, own_aux};
use crate::privacy::Compressing;
use crate::refusal::{refusal, training_refusal};

/// A round whose plan and data are ready.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// SHA-256 of the data file.
    pub(crate) dataset: Digest,
    pub(crate) profile: Profile,
    /// The limits that hold in this round.
    pub(crate) limits: Limits,
    pub(crate) round: Arc<Round>,
    pub(crate) examples: Arc<Examples>,
    pub(crate) turn: Turn,
    pub(crate) keeping: Keeping,
}

impl Prepared {
    /// Rows of the training part, and rows held out.
    pub(crate) fn n_rows(&self) -> (u64, u64) {
        (self.examples.n_train() as u64, self.examples.n_test() as u64)
    }

    /// The tensors of the plan.
    pub(crate) fn declaration(&self) -> &Declaration {
        self.round.declaration()
    }

    /// Different rows that are trained on for certain.
    pub(crate) fn rows_of_first_epoch(&self) -> u64 {
        self.round.rows_of_first_epoch(&self.examples, &self.turn)
    }

    /// How long training is.
    pub(crate) fn length(&self) -> Length {
        self.round.length(&self.examples)
    }

    /// Processor time of the plan so far, in milliseconds.
    pub(crate) fn processor_ms(&self) -> f64 {
        self.round.plan().processor_ms()
    }

    /// Runs the round.
    pub(crate) fn run(
        &self,
        request: &RoundRequest,
        fetched: Fetched,
        events: Events,
        cancel: &Cancel,
    ) -> Result<Done, Refusal> {
        if request.mode == Mode::Scale {
            return Ok(match self.site_numbers(request)? {
                Some(layout) => {
                    let numbers = layout.numbers(&self.summed());
                    let numbers = numbers.map_err(|error| training_refusal(&error))?;
                    Done { numbers, ..self.untrained(None) }
                }
                None => Done { sums: Some(self.encoded_sums()?), ..self.untrained(None) },
            });
        }
        // The fetched bytes stay in memory anyway: the tensors are parts of them.
        let params = from_shared_safetensors(&fetched.params)
            .map_err(|error| refusal(Reason::BadRequest, format!("the parameters: {error}")))?;
        let (kept, own, state_in) = match &request.state_id {
            Some(id) => {
                let (params, bytes) = self.keeping.load(request, id)?;
                let (kept, own) = own_aux::split(params).map_err(|error| {
                    refusal(Reason::State, format!("the node state {id}: {error}"))
                })?;
                (kept, own, Some(bytes))
            }
            None => (None, None, None),
        };
        if request.mode == Mode::Validate {
            let evaluation = self.evaluate(&params, kept.as_ref(), cancel)?;
            self.keeping.store_scales(request, &self.examples)?;
            return Ok(Done { evaluation: Some(evaluation), ..self.untrained(state_in) });
        }
        let internal = |error: fedwasm_params::Error| refusal(Reason::Internal, error.to_string());
        let own = match &request.secagg {
            Some(_) => Some(own_aux::before(self.declaration(), own.as_ref()).map_err(internal)?),
            None => None,
        };
        let aux = self.aux(&fetched, own.as_ref())?;
        let before = Before { params, aux, kept, ..Before::default() };
        let trained = self.round.train(&self.examples, before, &self.turn, events, cancel);
        let trained = trained.map_err(|error| training_refusal(&error))?;
        let evaluation = if request.training.test_on_local_updates {
            Some(self.evaluate(&trained.params, trained.kept.as_ref(), cancel)?)
        } else {
            None
        };
        if cancel.is_cancelled() {
            // The next round may already run: its state must stay.
            return Err(refusal(Reason::Expired, "the round was cancelled".into()));
        }
        let done = self.keep(request, trained, state_in, evaluation)?;
        Ok(Done { aux_before: own, ..done })
    }

    /// The sums of the input columns over the training part, if the scales of a federation are to be
    /// made of them.
    pub(crate) fn sums(&self) -> impl Iterator<Item = &ColumnSums> {
        self.examples.sums().iter()
    }

    /// The training rows that they are of, a bit a row.
    pub(crate) fn training_rows(&self) -> &[u8] {
        self.examples.training_rows()
    }

    /// The numbers that a secure sum is of beside the rest, if it is of some.
    pub(crate) fn numbers(&self, request: &RoundRequest) -> Result<Option<Numbers>, Refusal> {
        let Some(layout) = self.site_numbers(request)? else { return Ok(None) };
        let meaning = layout.meaning().map_err(|error| training_refusal(&error))?;
        Ok(Some(Numbers { n: layout.n(), meaning }))
    }

    fn site_numbers(&self, request: &RoundRequest) -> Result<Option<SiteNumbers>, Refusal> {
        if request.mode != Mode::Scale || request.secagg.is_none() {
            return Ok(None);
        }
        let names = self.sums().map(|column| column.name.clone()).collect();
        Ok(Some(SiteNumbers::of_scales(names)))
    }

    fn summed(&self) -> Sums {
        let (n_rows, columns) = (self.examples.n_train() as u64, self.examples.sums().to_vec());
        Sums { n_rows, columns, withheld: Vec::new() }
    }

    fn encoded_sums(&self) -> Result<Vec<u8>, Refusal> {
        self.summed().encode().map_err(|text| refusal(Reason::Dataset, text))
    }

    /// How the update of a round travels; none as whole parameters.
    pub(crate) fn compressing(&self, request: &RoundRequest) -> Option<Compressing> {
        let Turn { random_seed, round, node } = &self.turn;
        let compression = request.training.compression?;
        Some(Compressing { compression, seed: seed::compression(*random_seed, *round, node) })
    }

    /// The result of a round that trains nothing.
    fn untrained(&self, state_in: Option<Vec<u8>>) -> Done {
        Done {
            params: None,
            compressed: None,
            aux: None,
            aux_before: None,
            state_id: None,
            state_in,
            state_out: None,
            used: Used::default(),
            optimizer_args: Metrics::new(),
            n_samples: self.examples.n_train() as u64,
            n_steps: 0,
            train_loss: None,
            evaluation: None,
            sums: None,
            numbers: Vec::new(),
        }
    }

    fn evaluate(
        &self,
        params: &Params,
        kept: Option<&Params>,
        cancel: &Cancel,
    ) -> Result<Evaluation, Refusal> {
        let seed = self.turn.random_seed;
        let scores = self.round.evaluate(&self.examples, params, kept, seed, cancel);
        scores.map_err(|error| training_refusal(&error))
    }

    /// Keeps the part of the result that the next round needs.
    fn keep(
        &self,
        request: &RoundRequest,
        trained: Trained,
        state_in: Option<Vec<u8>>,
        evaluation: Option<Evaluation>,
    ) -> Result<Done, Refusal> {
        let bytes = |params: &Params| {
            to_safetensors(params).map_err(|error| refusal(Reason::Internal, error.to_string()))
        };
        self.keeping.store_scales(request, &self.examples)?;
        let internal = |error: fedwasm_params::Error| refusal(Reason::Internal, error.to_string());
        let kept = match &request.secagg {
            Some(_) => {
                let own = own_aux::after(self.declaration(), &trained.aux).map_err(internal)?;
                own_aux::join(trained.kept, &own).map_err(internal)?
            }
            None => trained.kept,
        };
        let (state_id, state_out) = match &kept {
            Some(kept) => {
                let (id, digest) = self.keeping.store(request, kept)?;
                (Some(id), Some(digest))
            }
            None => (None, None),
        };
        let shared = self.round.shared(&trained.params);
        let shared = shared.map_err(|error| training_refusal(&error))?;
        Ok(Done {
            params: Some(bytes(&shared)?),
            compressed: None,
            aux: (!trained.aux.is_empty()).then(|| bytes(&trained.aux)).transpose()?,
            aux_before: None,
            state_id,
            state_in,
            state_out,
            used: Used::rounded(trained.usage.memory_bytes, trained.usage.fuel),
            n_samples: trained.n_samples,
            n_steps: trained.n_steps,
            train_loss: trained.metrics.get("loss").copied(),
            optimizer_args: trained.optimizer_args,
            evaluation,
            sums: None,
            numbers: Vec::new(),
        })
    }

    /// What was done by the rules of columns.
    pub(crate) fn done(&self) -> &fedwasm_training::Prepared {
        self.examples.prepared()
    }

    /// Warnings for the researcher about the classes here. They reveal no row, nor that one exists:
    /// a class of fewer than `min_rows` rows counts as empty.
    pub(crate) fn warnings(&self, min_rows: u64) -> Vec<String> {
        let Some(classes) = self.examples.classes() else { return Vec::new() };
        let mut warnings = Vec::new();
        let few = min_rows.max(1);
        if classes.n_rows(0) < few {
            warnings.push(format!(
                "fewer than {few} rows are of class 0; classes are numbered from 0, and labels \
                 such as 1, 2 leave class 0 without rows to learn from"
            ));
        }
        if classes.lacks_positives() {
            let text = "no held-out row is of class 1: precision, recall and F1 are left out";
            warnings.push(text.to_owned());
        }
        warnings
    }

    /// Puts the auxiliary variables together: shared ones are those that the
    /// plan declares as such, and so are the node's own.
    ///
    /// * `kept` — the node's own, where it keeps them itself.
    fn aux(&self, fetched: &Fetched, kept: Option<&Params>) -> Result<Params, Refusal> {
        let Declaration { aux_in, .. } = self.round.declaration();
        let bad = |error: fedwasm_params::Error| {
            refusal(Reason::BadRequest, format!("the auxiliary variables: {error}"))
        };
        let part = |bytes: &Option<Vec<u8>>, scope| {
            let specs: Vec<&TensorSpec> =
                aux_in.iter().filter(|spec| spec.scope == scope).collect();
            let params = match bytes {
                Some(bytes) => parse("the auxiliary variables", bytes)?,
                None => Params::default(),
            };
            let wanted = specs.iter();
            let wanted = wanted.map(|spec| (spec.name.as_str(), spec.dtype, spec.shape.as_slice()));
            let tensors = params.arrange(wanted).map_err(bad)?;
            let names = specs.into_iter().map(|spec| spec.name.clone());
            Ok::<_, Refusal>(names.zip(tensors))
        };
        let shared = part(&fetched.aux_shared, Scope::Shared)?;
        let own: Vec<(String, Tensor)> = match kept {
            None => part(&fetched.aux_own, Scope::Local)?.collect(),
            Some(_) if fetched.aux_own.is_some() => {
                let text = "`aux_own` is given, but in a secure sum this node keeps its own";
                return Err(refusal(Reason::BadRequest, text.into()));
            }
            Some(kept) => kept.iter().map(|(name, own)| (name.to_owned(), own.clone())).collect(),
        };
        let aux = Params::new(shared.chain(own).collect()).map_err(bad)?;
        if let Some((name, _)) = aux.iter().find(|(_, tensor)| !tensor.is_finite()) {
            let message = format!("the auxiliary variable `{name}` is not finite");
            return Err(refusal(Reason::BadRequest, message));
        }
        Ok(aux)
    }
}

fn parse(what: &str, bytes: &[u8]) -> Result<Params, Refusal> {
    from_safetensors(bytes).map_err(|error| refusal(Reason::BadRequest, format!("{what}: {error}")))
}
