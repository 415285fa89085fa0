//! What this machine could do at most, for benchmarks to compare with. Nothing else calls it: fused
//! operations have other bits.

/// Multiplies and adds in registers and returns how many floating-point operations it did: fused
/// ones on eight lanes where there are such, so that nothing is waited for.
#[must_use]
pub fn fused(rounds: u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if crate::lanes::has_fused() {
        // SAFETY: they are here.
        return unsafe { on_eight_lanes(rounds) };
    }
    on_one(rounds)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn on_eight_lanes(rounds: u64) -> u64 {
    use core::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    let (x, mut sums) = (_mm256_set1_ps(0.999), [_mm256_set1_ps(1.0); 10]);
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, x, x);
        }
    }
    core::hint::black_box(sums);
    rounds * 10 * 8 * 2
}

fn on_one(rounds: u64) -> u64 {
    let (x, mut sums) = (core::hint::black_box(0.999f32), [1.0f32; 16]);
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = *sum * x + x;
        }
    }
    core::hint::black_box(sums);
    rounds * 16 * 2
}
