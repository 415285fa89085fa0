//! A round that is about statistics: the part of this node in a secure sum of its columns over all
//! rows. No plan runs.

use std::sync::Arc;

use fedwasm_privacy::Numbers;
use fedwasm_protocol::{Edges, Metrics, Reason, Refusal, RoundRequest};
use fedwasm_sandbox::{Cancel, Declaration, Limits, Profile};
use fedwasm_training::{Disclosure, SiteNumbers};

use crate::blocking::blocking;
use crate::executor::{Assignment, Executor, Inputs};
use crate::privacy::Begun;
use crate::refusal::{refusal, training_refusal};
use crate::round::{Done, Used, data_digest};
use crate::secagg::Rows;
use crate::train::Outcome;
use crate::{Dataset, statistics};

/// The statistics of a round as numbers, before they are masked.
pub(crate) struct Told {
    pub(crate) done: Done,
    pub(crate) numbers: Numbers,
    /// The rows that they are of, a bit each: all.
    rows: Vec<u8>,
}

impl Told {
    /// Sums up the columns of a dataset.
    ///
    /// * `edges` — of the histograms, encoded.
    pub(crate) fn new(
        dataset: &Dataset,
        request: &RoundRequest,
        edges: Option<&[u8]>,
        disclosure: Disclosure,
        cancel: &Cancel,
    ) -> Result<Self, Refusal> {
        let bad = |text| refusal(Reason::BadRequest, text);
        let edges = edges.map(Edges::decode).transpose().map_err(bad)?;
        let is_over = || cancel.is_cancelled();
        // The smallest and the largest value have no sum.
        let disclosure = Disclosure { extremes: false, ..disclosure };
        let data = &request.data;
        let sums = statistics::sums_of(dataset, data, edges.as_ref(), disclosure, &is_over)?;
        let names = sums.columns.iter().map(|column| column.name.clone()).collect();
        let layout = SiteNumbers::of_statistics(names, edges);
        let training = |error| training_refusal(&error);
        let values = layout.numbers(&sums).map_err(training)?;
        let meaning = layout.meaning().map_err(training)?;
        let done = Done {
            params: None,
            compressed: None,
            aux: None,
            aux_before: None,
            state_id: None,
            state_in: None,
            state_out: None,
            used: Used::default(),
            optimizer_args: Metrics::new(),
            n_samples: sums.n_rows,
            n_steps: 0,
            train_loss: None,
            evaluation: None,
            sums: None,
            numbers: values,
        };
        let whole = usize::try_from(sums.n_rows / 8).unwrap_or(usize::MAX);
        let mut rows = vec![0xff; whole];
        if let rest @ 1.. = sums.n_rows % 8 {
            rows.push((1 << rest) - 1);
        }
        Ok(Self { done, numbers: Numbers { n: layout.n(), meaning }, rows })
    }

    /// The tensors of a round without a plan.
    pub(crate) fn declaration() -> Declaration {
        let (inputs, targets, state) = (Vec::new(), Vec::new(), Vec::new());
        let (model, aux_in, aux_out) = (Vec::new(), Vec::new(), Vec::new());
        Declaration { inputs, targets, model, aux_in, aux_out, state }
    }
}

impl Executor {
    /// Sums up, and masks the sums.
    pub(crate) async fn tell(
        &self,
        assignment: &Assignment,
        inputs: &Inputs,
    ) -> Result<Outcome, Refusal> {
        let Some(demand) = inputs.demand.clone() else {
            return Err(refusal(Reason::BadRequest, "statistics without `secagg`".into()));
        };
        let Assignment { researcher, dataset, cancel, trace, .. } = assignment;
        let (researcher, dataset, cancel) = (researcher.clone(), dataset.clone(), cancel.clone());
        let (trace, request) = (Arc::clone(trace), Arc::clone(&inputs.request));
        let (sent, shares) = (inputs.sent.clone(), inputs.shares.clone());
        let edges = inputs.fetched.scales.clone();
        let (sums, database, min_rows) =
            (self.sums.clone(), self.database.clone(), inputs.floor.min_rows);
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!("the sums could not be told: {error}");
            let text = "the node cannot write down what it tells; its log says more";
            refusal(Reason::Internal, text.into())
        };
        blocking(move || {
            trace.start(&fedwasm_training::Prepared::default())?;
            let disclosure = Disclosure { min_rows, min_missing: 0, extremes: false };
            let Told { done, numbers, rows } =
                Told::new(&dataset, &request, edges.as_deref(), disclosure, &cancel)?;
            let data = data_digest(&dataset, &cancel)?;
            let nothing = Told::declaration();
            let sent = (&sent, shares.as_deref());
            let part = sums.part(&researcher, sent, &nothing, (&demand, Some(&numbers)))?;
            let chosen = database.choose_rows(&data, &rows, min_rows);
            chosen.map_err(|error| failed(&error))??;
            let summand = Begun::Clear.sum(done, &[], &nothing, &request, &part.rules);
            let mut summand = summand.map_err(|error| failed(&error))?;
            let vectors = std::mem::take(&mut summand.vectors);
            let (dataset, summed) = (&request.dataset_id, Some(&rows[..]));
            let masked = sums.mask(part, vectors, Rows { dataset, content: &data, summed })?;
            Ok(Outcome {
                released: summand.masked(masked),
                data,
                profile: Profile::Standard,
                limits: Limits::default(),
                warnings: Vec::new(),
                process_ms: 0.0,
            })
        })
        .await
    }
}
