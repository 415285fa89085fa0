//! Shapes that are repeated to a common one, as runs of elements along which no input jumps.

use crate::kernels::Parallel;
use crate::kernels::parallel::each_rows;
use crate::shape::{RANK_MAX, Shape};

/// How `N` inputs lie under an output's shape: axes that can be one are one.
pub(super) struct Runs<const N: usize> {
    /// Sizes of all axes but the innermost.
    outer: [usize; RANK_MAX],
    n_outer: usize,
    strides: [[usize; RANK_MAX]; N],
    /// Elements of a run.
    pub(super) len: usize,
    /// 1 where an input moves along with a run, 0 where it stays.
    pub(super) steps: [usize; N],
    n_runs: usize,
}

impl<const N: usize> Runs<N> {
    /// Inputs that can be repeated to `output`.
    pub(super) fn new(output: &Shape, inputs: [&Shape; N]) -> Self {
        let rank = output.rank();
        // From the last axis on; an axis of size 1 belongs to any neighbour.
        let mut axes: [(usize, [usize; N]); RANK_MAX] = [(1, [0; N]); RANK_MAX];
        let mut n_axes = 0;
        let mut strides = [1; N];
        for nth in 0..rank {
            let size = output.size_from_end(nth);
            let mut here = [0; N];
            for ((here, stride), input) in here.iter_mut().zip(&mut strides).zip(inputs) {
                let own = input.size_from_end(nth);
                *here = if own == 1 { 0 } else { *stride };
                *stride *= own;
            }
            if size == 1 {
                continue;
            }
            let joins = n_axes > 0 && {
                let (below, steps) = axes[n_axes - 1];
                (0..N).all(|input| here[input] == steps[input] * below)
            };
            if joins {
                axes[n_axes - 1].0 *= size;
            } else {
                axes[n_axes] = (size, here);
                n_axes += 1;
            }
        }
        let (len, steps) = axes[0];
        let mut runs = Self {
            outer: [1; RANK_MAX],
            n_outer: n_axes.saturating_sub(1),
            strides: [[0; RANK_MAX]; N],
            len,
            steps,
            n_runs: 1,
        };
        for (axis, (size, steps)) in axes[1..].iter().take(runs.n_outer).enumerate() {
            runs.outer[axis] = *size;
            runs.n_runs *= size;
            for (strides, step) in runs.strides.iter_mut().zip(steps) {
                strides[axis] = *step;
            }
        }
        if output.is_empty() {
            runs.n_runs = 0;
        }
        runs
    }

    /// Calls `f` with each run of the output and where it starts in each input; on several threads
    /// if the work is worth it.
    pub(super) fn each<T: Send>(
        &self,
        to: &mut [T],
        work: usize,
        threads: &dyn Parallel,
        f: impl Fn(&mut [T], [usize; N]) + Sync,
    ) {
        if self.n_runs == 0 {
            return;
        }
        // One long run, or a few, cannot be shared out in whole.
        let most =
            if threads.threads() > 1 { (work / 1024).clamp(1, threads.threads()) } else { 1 };
        let cut = if self.n_runs < most { most.next_power_of_two() } else { 1 };
        let len = if self.len.is_multiple_of(cut) { self.len / cut } else { self.len };
        let per_run = self.len / len;
        each_rows(to, len, work, threads, &|runs, to| {
            let (mut at, mut starts) = self.start(runs.start / per_run);
            for (run, to) in runs.zip(to.chunks_exact_mut(len)) {
                let part = run % per_run;
                let mut here = starts;
                for (start, step) in here.iter_mut().zip(self.steps) {
                    *start += part * len * step;
                }
                f(to, here);
                if part + 1 == per_run {
                    self.step(&mut at, &mut starts);
                }
            }
        });
    }

    /// Indices along the outer axes and starts of the inputs, of a run.
    fn start(&self, run: usize) -> ([usize; RANK_MAX], [usize; N]) {
        let (mut at, mut starts, mut rest) = ([0; RANK_MAX], [0; N], run);
        for axis in 0..self.n_outer {
            at[axis] = rest % self.outer[axis];
            rest /= self.outer[axis];
            for (start, strides) in starts.iter_mut().zip(&self.strides) {
                *start += at[axis] * strides[axis];
            }
        }
        (at, starts)
    }

    /// To the next run.
    fn step(&self, at: &mut [usize; RANK_MAX], starts: &mut [usize; N]) {
        for axis in 0..self.n_outer {
            at[axis] += 1;
            for (start, strides) in starts.iter_mut().zip(&self.strides) {
                *start += strides[axis];
            }
            if at[axis] < self.outer[axis] {
                break;
            }
            for (start, strides) in starts.iter_mut().zip(&self.strides) {
                *start -= strides[axis] * self.outer[axis];
            }
            at[axis] = 0;
        }
    }
}
