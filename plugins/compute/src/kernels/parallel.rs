//! How the caller lends threads to a kernel.

/// Runs parts of an operation side by side.
///
/// Kernels cut an operation by its outputs only, never along a sum, so results have the same bits
/// for any implementation and any number of threads.
pub trait Parallel: Sync {
    /// How many parts can run at the same time; at least 1. It says how finely to cut.
    fn threads(&self) -> usize;

    /// Calls `part` once with each number in `0..parts`, in any order, on any thread, and returns
    /// when all calls have.
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync));
}

/// The caller's thread alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneThread;

impl Parallel for OneThread {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        (0..parts).for_each(part);
    }
}
