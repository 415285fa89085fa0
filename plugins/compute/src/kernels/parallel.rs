//! How the caller lends threads to a kernel.

use core::ops::Range;

/// Runs parts of an operation side by side.
///
/// Kernels cut an operation by its outputs only, never along a sum, so results have the same bits
/// for any implementation and any number of threads.
pub trait Parallel: Sync {
    /// How many parts can run at the same time; at least 1. It says how finely to cut.
    fn threads(&self) -> usize;

    /// From how many multiplications on an operation is cut; starting threads costs some
    /// microseconds.
    fn work_min(&self) -> usize {
        1 << 19
    }

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

/// Elements that parts write, each its own.
pub(crate) struct Shared<T>(pub(crate) *mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: parts use disjoint elements, and all end before the slice is used again.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Some of the elements.
    ///
    /// # Safety
    /// They are within the slice, and no other part uses them.
    #[inline(always)]
    pub(crate) unsafe fn slice<'a>(self, range: Range<usize>) -> &'a mut [T] {
        // SAFETY: the caller's.
        unsafe { core::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }
}

/// Elements of a piece of rows at least.
const GRAIN: usize = 256;

/// Calls `f` with pieces of whole rows of `n` elements, 1 at least, and the numbers of those rows;
/// on several threads if the `work` is worth it.
pub(crate) fn each_rows<T: Send>(
    to: &mut [T],
    n: usize,
    work: usize,
    threads: &dyn Parallel,
    f: &(dyn Fn(Range<usize>, &mut [T]) + Sync),
) {
    let rows = to.len() / n;
    if threads.threads() == 1 || work < threads.work_min() {
        f(0..rows, &mut to[..rows * n]);
        return;
    }
    let (cut, to) = (pieces(rows, threads.threads(), GRAIN.div_ceil(n)), Shared(to.as_mut_ptr()));
    threads.run(cut.len(), &|part| {
        let rows = cut.piece(part);
        // SAFETY: pieces are disjoint.
        let to = unsafe { to.slice(rows.start * n..rows.end * n) };
        f(rows, to);
    });
}

/// A cut of `0..n` into pieces, the same for the same numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    n: usize,
    each: usize,
}

/// Cuts `0..n` into at most `parts` pieces of whole `grain`s.
pub(crate) fn pieces(n: usize, parts: usize, grain: usize) -> Pieces {
    let each = n.div_ceil(grain).div_ceil(parts.max(1)).max(1) * grain;
    Pieces { n, each }
}

impl Pieces {
    pub(crate) fn len(&self) -> usize {
        self.n.div_ceil(self.each)
    }

    pub(crate) fn piece(&self, nth: usize) -> Range<usize> {
        nth * self.each..self.n.min((nth + 1) * self.each)
    }
}
