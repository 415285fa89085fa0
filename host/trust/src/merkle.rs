//! The Merkle tree of RFC 6962, section 2.1: a log whose every earlier entry is
//! fixed by one hash.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// The hash of an entry: SHA-256 of 0 and its bytes.
pub fn leaf(entry: &[u8]) -> Hash {
    hash(&[&[0], entry])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// The part of a tree that is needed to extend it: the roots of its largest whole
/// subtrees, from the left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Entries.
    pub size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    /// The tree over these leaves.
    pub fn of(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut tree = Self::default();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut top = leaf;
        // Each bit that is set is a whole subtree that the carry closes.
        let mut size = self.size;
        while size & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            top = node(&left, &top);
            size >>= 1;
        }
        self.peaks.push(top);
        self.size += 1;
    }

    /// The tree's hash; that of no entries is SHA-256 of nothing.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().copied();
        let Some(last) = peaks.next() else { return hash(&[]) };
        peaks.fold(last, |right, left| node(&left, &right))
    }
}

/// The hashes that lead from a leaf to the root of the tree over `leaves` (RFC 6962, 2.1.1).
pub fn inclusion(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let root = |leaves: &[Hash]| Tree::of(leaves.iter().copied()).root();
    let (mut path, sibling) = if index < left.len() {
        (inclusion(left, index), root(right))
    } else {
        (inclusion(right, index - left.len()), root(left))
    };
    path.push(sibling);
    path
}

/// Whether a path leads from a leaf to a root.
pub fn is_included(leaf: Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    // RFC 9162, 2.1.3.2, which says for the same tree how to check it.
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The largest power of two below `n`.
fn split(n: usize) -> usize {
    1 << (usize::BITS - 1 - (n - 1).leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(hash: &Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn leaves() -> Vec<Hash> {
        let entries: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[
                0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d,
                0x6e, 0x6f,
            ],
        ];
        entries.map(leaf).into()
    }

    /// The entries and roots of Certificate Transparency's own tests.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves = leaves();
        for (n, expected) in [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(hex(&Tree::of(leaves[..n].iter().copied()).root()), expected);
        }
    }

    #[test]
    fn every_leaf_of_every_tree_is_included_and_no_other() {
        let leaves = leaves();
        for n in 1..=8 {
            let root = Tree::of(leaves[..n].iter().copied()).root();
            for index in 0..n {
                let path = inclusion(&leaves[..n], index);
                let included =
                    |leaf, at: usize| is_included(leaf, at as u64, n as u64, &path, &root);
                assert!(included(leaves[index], index), "{index} of {n}");
                assert!(!included(leaf(b"other"), index));
                assert!(!included(leaves[index], (index + 1) % n) || n == 1);
                assert!(!included(leaves[index], n));
            }
        }
    }
}
