//! All that a sum was made of but the masked vectors: kept by the researcher, so that others can make
//! it again by the same steps. No single part can be read from it.

use std::collections::BTreeMap;

use fedwasm_params::{DType, Params};
use fedwasm_protocol::{Digest, NodeId, SecaggArgs};
use serde::{Deserialize, Serialize};

use crate::double_masking::{self, Consent, Reveal, SealedShares, Setup, Survivors};
use crate::masking::{self, Context};
use crate::{
    Cause, Coding, Decoded, Error, Layout, Numbers, Parties, SignedKeys, Sum, VectorSpec, Vectors,
    VerifyStatement, vectors_of_node,
};

/// A tensor whose changes are summed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summand {
    /// Its name.
    pub name: String,
    /// float32 or float64.
    pub dtype: DType,
    /// Its shape.
    pub shape: Vec<u64>,
}

impl Summand {
    /// The same, borrowed.
    pub fn spec(&self) -> VectorSpec<'_> {
        (&self.name, self.dtype, &self.shape)
    }
}

impl From<&VectorSpec<'_>> for Summand {
    fn from((name, dtype, shape): &VectorSpec<'_>) -> Self {
        Self { name: (*name).to_owned(), dtype: *dtype, shape: shape.to_vec() }
    }
}

/// The messages of a sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub enum Steps {
    /// Pairwise masks.
    Masking {
        /// The purpose of the keys.
        context: Context,
        /// Those of all nodes.
        keys: Vec<SignedKeys>,
    },
    /// Pairwise masks and each node's own.
    DoubleMasking {
        /// The facts of the round.
        setup: Box<Setup>,
        /// The keys of the nodes that drew some.
        keys: Vec<SignedKeys>,
        /// Their commitments, without the sealed shares.
        shares: Vec<SealedShares>,
        /// Whose vectors are in the sum.
        survivors: Survivors,
        /// Their signatures of that.
        consents: Vec<Consent>,
        /// The shares that unmask the sum.
        reveals: Vec<Reveal>,
    },
}

/// A node's masked vectors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// SHA-256 of those in the repository.
    pub sha256: Digest,
    /// The masked check value, little-endian, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Vec<u8>>,
}

/// All that a sum was made of but the masked vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// The arguments of the round, without shares.
    pub args: SecaggArgs,
    /// The parameters whose changes are summed, in order.
    pub params: Vec<Summand>,
    /// The auxiliary variables whose changes are summed, in order.
    pub aux: Vec<Summand>,
    /// Whole numbers that are summed; none of a round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// The masked vectors in the sum.
    pub uploads: BTreeMap<NodeId, Upload>,
    /// The messages.
    pub steps: Steps,
}

/// A sum that was made again.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// The nodes whose parts are in it.
    pub sum_of: Parties,
    /// Its results.
    pub decoded: Decoded,
    /// The layout of its vectors.
    pub layout: Layout,
}

impl Transcript {
    /// The nodes that were asked.
    pub fn asked(&self) -> &Parties {
        match &self.steps {
            Steps::Masking { context, .. } => &context.parties,
            Steps::DoubleMasking { setup, .. } => &setup.parties,
        }
    }

    /// Makes the sum again, by the steps that made it.
    ///
    /// * `verify` — checks signatures of nodes.
    /// * `load` — returns masked vectors by their digest; one set is held at a time.
    ///
    /// # Errors
    /// Those of the steps; [`Error::Upload`] for vectors that cannot be loaded, or that are not those
    /// of the nodes in the sum; [`Error::Context`] if the steps are of another sum than the arguments.
    pub fn replay(
        self,
        verify: VerifyStatement<'_>,
        load: &mut dyn FnMut(&NodeId, &Digest) -> Result<Params, Cause>,
    ) -> Result<Replayed, Error> {
        let Self { args, params, aux, numbers, uploads, steps } = self;
        let params: Vec<VectorSpec<'_>> = params.iter().map(Summand::spec).collect();
        let aux: Vec<VectorSpec<'_>> = aux.iter().map(Summand::spec).collect();
        let coding_of = |n| {
            let coding = Coding::new(&args, n, &params, &aux)?;
            numbers.iter().try_fold(coding, Coding::with_numbers)
        };
        let mut vectors = |node: &NodeId, layout: &Layout| -> Result<Vectors<u64>, Error> {
            let unloaded = |cause: Cause| Error::Upload { node: node.clone(), cause };
            let upload = uploads.get(node).ok_or_else(|| unloaded("it is not named".into()))?;
            let params = load(node, &upload.sha256).map_err(unloaded)?;
            vectors_of_node(params, upload.check.as_deref(), layout)
        };
        let (coding, sums, sum_of) = match steps {
            Steps::Masking { context, keys } => {
                check_id(args.sum_id, context.id)?;
                let parties = context.parties.clone();
                let coding = coding_of(parties.len())?;
                let mut takes = masking::TakesKeys::new(context);
                keys.into_iter().try_for_each(|keys| takes.take(keys, verify))?;
                takes.close()?;
                let mut sum = Sum::new(parties.clone(), coding.layout().clone());
                for node in parties.iter() {
                    sum.add(node, &vectors(node, coding.layout())?)?;
                }
                (coding, sum.finish()?, parties)
            }
            Steps::DoubleMasking { setup, keys, shares, survivors, consents, reveals } => {
                check_id(args.sum_id, setup.id)?;
                let coding = coding_of(setup.parties.len())?;
                let mut takes = double_masking::TakesKeys::new(*setup)?;
                keys.into_iter().try_for_each(|keys| takes.take(keys, verify))?;
                let (mut takes, _) = takes.close()?;
                shares.into_iter().try_for_each(|shares| takes.take_commitments(shares))?;
                let (mut takes, _) = takes.close(coding.layout().clone())?;
                for node in &survivors.alive {
                    takes.take(node, &vectors(node, coding.layout())?)?;
                }
                let (mut takes, _) = takes.close()?;
                consents.into_iter().try_for_each(|consent| takes.take(consent, verify))?;
                let (mut takes, _) = takes.close()?;
                reveals.into_iter().try_for_each(|reveal| takes.take(reveal))?;
                let (sums, sum_of) = takes.close()?;
                (coding, sums, sum_of)
            }
        };
        if let Some(node) = uploads.keys().find(|node| !sum_of.contains(node)) {
            let cause = "it is not in the sum".into();
            return Err(Error::Upload { node: node.clone(), cause });
        }
        let decoded = coding.decode(&sums, sum_of.len())?;
        Ok(Replayed { sum_of, decoded, layout: coding.layout().clone() })
    }
}

fn check_id(asked: Digest, signed: Digest) -> Result<(), Error> {
    if asked == signed { Ok(()) } else { Err(Error::Context { asked, signed }) }
}
