//! Lanes of AVX2: eight, multiplied and added apart, though the machine could fuse the two.

use core::arch::x86_64::*;
use core::sync::atomic::{AtomicU8, Ordering};

use super::{Kernel, Lanes};

/// Whether this machine has AVX2.
#[inline(always)]
pub(super) fn is_here() -> bool {
    /// 0 until the machine was asked, then 1 without and 2 with.
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let found = ask();
            KNOWN.store(1 + u8::from(found), Ordering::Relaxed);
            found
        }
        known => known == 2,
    }
}

/// Whether this machine, which has AVX2, can fuse multiplication and addition.
pub(super) fn has_fused() -> bool {
    const FMA: u32 = 1 << 12;
    __cpuid(1).ecx & FMA != 0
}

/// Asks processor and system (Intel SDM, volume 1, 14.3: detection of AVX2).
#[cold]
fn ask() -> bool {
    const OSXSAVE_AND_AVX: u32 = 1 << 27 | 1 << 28;
    const SSE_AND_AVX_STATE: u64 = 0b110;
    const AVX2: u32 = 1 << 5;
    // SAFETY: called only after OSXSAVE was found.
    #[target_feature(enable = "xsave")]
    fn state() -> u64 {
        // SAFETY: register 0 exists where OSXSAVE does.
        unsafe { _xgetbv(0) }
    }
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE_AND_AVX != OSXSAVE_AND_AVX {
        return false;
    }
    // SAFETY: OSXSAVE was found.
    let state = unsafe { state() };
    state & SSE_AND_AVX_STATE == SSE_AND_AVX_STATE && __cpuid_count(7, 0).ebx & AVX2 != 0
}

/// Runs a kernel on these lanes.
#[target_feature(enable = "avx2")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.on::<Avx2>()
}

/// Eight elements.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

impl Lanes for Avx2 {
    const N: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: lanes of this kind exist only where its instructions do.
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn read(at: *const f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm256_loadu_ps(at) })
    }

    type Four = *const f32;

    #[inline(always)]
    unsafe fn read_four(at: *const f32) -> Self::Four {
        at
    }

    #[inline(always)]
    fn splat_of(four: Self::Four, nth: usize) -> Self {
        // SAFETY: who made it has four to be read.
        unsafe { Self(_mm256_broadcast_ss(&*four.add(nth))) }
    }

    #[inline(always)]
    unsafe fn write(self, at: *mut f32) {
        // SAFETY: the caller's.
        unsafe { _mm256_storeu_ps(at, self.0) }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller's.
        unsafe {
            for (line, column) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
                let from = from.add(line * from_stride + column);
                let to = to.add(column * to_stride + line);
                let mut rows = [0, 1, 2, 3].map(|row| _mm_loadu_ps(from.add(row * from_stride)));
                let [a, b, c, d] = &mut rows;
                _MM_TRANSPOSE4_PS(a, b, c, d);
                for (row, lanes) in rows.into_iter().enumerate() {
                    _mm_storeu_ps(to.add(row * to_stride), lanes);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn read_pairs(at: *const f32) -> (Self, Self) {
        // SAFETY: the caller's.
        unsafe {
            let (a, b) = (_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8)));
            // The halves in their order first, since shuffles stay within halves.
            let (low, high) =
                (_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
            let even = _mm256_shuffle_ps::<0b10_00_10_00>(low, high);
            (Self(even), Self(_mm256_shuffle_ps::<0b11_01_11_01>(low, high)))
        }
    }

    #[inline(always)]
    fn larger(first: (Self, Self), second: (Self, Self)) -> (Self, Self) {
        // SAFETY: lanes of this kind exist only where its instructions do.
        unsafe {
            let is_second = _mm256_cmp_ps::<_CMP_GT_OQ>(second.0.0, first.0.0);
            let value = _mm256_blendv_ps(first.0.0, second.0.0, is_second);
            (Self(value), Self(_mm256_blendv_ps(first.1.0, second.1.0, is_second)))
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: lanes of this kind exist only where its instructions do.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: lanes of this kind exist only where its instructions do.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: lanes of this kind exist only where its instructions do.
        Self(unsafe { _mm256_sqrt_ps(self.0) })
    }
}
