//! The researcher's side: masked vectors are added, and nothing else is done with them.

use std::collections::BTreeSet;

use fedwasm_protocol::NodeId;

use crate::context::{Layout, Parties, Vectors};
use crate::{Error, Lane};

/// The sum of masked vectors at the researcher; holds one set of vectors, whatever the number of nodes.
#[derive(Debug)]
pub struct Sum<L> {
    parties: Parties,
    layout: Layout,
    sums: Vectors<L>,
    took: BTreeSet<NodeId>,
}

impl<L: Lane> Sum<L> {
    /// Begins a sum over these nodes.
    pub fn new(parties: Parties, layout: Layout) -> Self {
        // Nothing is reserved for vectors that are only announced: a layout may be a stranger's.
        Self { parties, layout, sums: Vectors::new(), took: BTreeSet::new() }
    }

    /// The nodes whose vectors are in.
    pub fn took(&self) -> &BTreeSet<NodeId> {
        &self.took
    }

    /// Adds the masked vectors of a node.
    ///
    /// # Errors
    /// [`Error::NotAParty`], [`Error::Twice`], [`Error::Stream`], [`Error::Length`]; the sum is as
    /// before then.
    pub fn add(&mut self, node: &NodeId, vectors: &Vectors<L>) -> Result<(), Error> {
        if !self.parties.contains(node) {
            return Err(Error::NotAParty { node: node.clone() });
        }
        if self.took.contains(node) {
            return Err(Error::Twice { node: node.clone(), what: "masked vectors" });
        }
        self.layout.check(vectors)?;
        match self.took.is_empty() {
            true => self.sums.clone_from(vectors),
            false => {
                for (sums, lanes) in self.sums.values_mut().zip(vectors.values()) {
                    sums.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum = sum.plus(*lane));
                }
            }
        }
        self.took.insert(node.clone());
        Ok(())
    }

    /// Returns the sums of the clear vectors, as masks have cancelled.
    ///
    /// # Errors
    /// [`Error::Missing`] names the nodes whose vectors are not in.
    pub fn finish(self) -> Result<Vectors<L>, Error> {
        let missing = self.parties.iter().filter(|node| !self.took.contains(node));
        let missing: Vec<NodeId> = missing.cloned().collect();
        match missing.is_empty() {
            true => Ok(self.sums),
            false => Err(Error::Missing { what: "masked vectors", nodes: missing }),
        }
    }

    /// The sums as they are, masks that have not cancelled among them.
    pub(crate) fn into_sums(self) -> Vectors<L> {
        self.sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    #[test]
    fn announced_vectors_reserve_nothing() {
        let ids = ["a", "b", "c"].map(|id| id.parse::<NodeId>().unwrap());
        let parties = Parties::new(ids.clone(), 0).unwrap();
        let layout = Layout::default().with(Stream::Params, usize::MAX, &[]);
        let mut sum = Sum::<u64>::new(parties, layout);
        let short = Vectors::from([(Stream::Params, vec![1])]);
        assert!(matches!(sum.add(&ids[0], &short), Err(Error::Length { .. })));
        assert!(matches!(sum.finish(), Err(Error::Missing { .. })));
    }
}
