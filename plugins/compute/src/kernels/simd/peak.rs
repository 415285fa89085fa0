//! What this machine could do at most, for measurements to compare with.

use super::{Kernel, Lanes, level, run_at};

struct Peak(u64);

impl Kernel<f32> for Peak {
    type Output = u64;

    #[inline(always)]
    fn on<L: Lanes<T = f32>>(self) -> u64 {
        let (x, mut sums) = (L::splat(0.999), [L::splat(1.0); 12]);
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = sum.fused(x, x);
            }
        }
        let mut total = [0.0; 64];
        for sum in sums {
            // SAFETY: no lanes are wider.
            unsafe { sum.add(L::load(total.as_ptr())).store(total.as_mut_ptr()) }
        }
        core::hint::black_box(total);
        self.0 * 12 * L::N as u64 * 2
    }
}

/// Multiplies and adds float32 in registers, on the lanes that kernels use, and returns how many
/// floating-point operations it did.
#[must_use]
pub fn peak(rounds: u64) -> u64 {
    run_at(level(), Peak(rounds))
}
