//! Lanes of NEON: four, multiplied and added apart.

use core::arch::aarch64::*;

use super::Lanes;

/// Four elements.
#[derive(Clone, Copy)]
pub(crate) struct Neon(float32x4_t);

impl Lanes for Neon {
    const N: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: lanes of this kind exist only where its instructions do.
        Self(unsafe { vdupq_n_f32(value) })
    }

    #[inline(always)]
    unsafe fn read(at: *const f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { vld1q_f32(at) })
    }

    type Four = float32x4_t;

    #[inline(always)]
    unsafe fn read_four(at: *const f32) -> Self::Four {
        // SAFETY: the caller's.
        unsafe { vld1q_f32(at) }
    }

    #[inline(always)]
    fn splat_of(four: Self::Four, nth: usize) -> Self {
        // SAFETY: lanes of this kind exist only where its instructions do.
        Self(unsafe {
            match nth {
                0 => vdupq_laneq_f32::<0>(four),
                1 => vdupq_laneq_f32::<1>(four),
                2 => vdupq_laneq_f32::<2>(four),
                _ => vdupq_laneq_f32::<3>(four),
            }
        })
    }

    #[inline(always)]
    unsafe fn write(self, at: *mut f32) {
        // SAFETY: the caller's.
        unsafe { vst1q_f32(at, self.0) }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller's.
        unsafe {
            let [a, b, c, d] = [0, 1, 2, 3].map(|row| vld1q_f32(from.add(row * from_stride)));
            let (ab, cd) = (vtrnq_f32(a, b), vtrnq_f32(c, d));
            let low = |x, y| vcombine_f32(vget_low_f32(x), vget_low_f32(y));
            let high = |x, y| vcombine_f32(vget_high_f32(x), vget_high_f32(y));
            let rows = [low(ab.0, cd.0), low(ab.1, cd.1), high(ab.0, cd.0), high(ab.1, cd.1)];
            for (row, lanes) in rows.into_iter().enumerate() {
                vst1q_f32(to.add(row * to_stride), lanes);
            }
        }
    }

    #[inline(always)]
    unsafe fn read_pairs(at: *const f32) -> (Self, Self) {
        // SAFETY: the caller's.
        unsafe {
            let (a, b) = (vld1q_f32(at), vld1q_f32(at.add(4)));
            (Self(vuzp1q_f32(a, b)), Self(vuzp2q_f32(a, b)))
        }
    }

    #[inline(always)]
    fn larger(first: (Self, Self), second: (Self, Self)) -> (Self, Self) {
        // SAFETY: lanes of this kind exist only where its instructions do.
        unsafe {
            let is_second = vcgtq_f32(second.0.0, first.0.0);
            let value = vbslq_f32(is_second, second.0.0, first.0.0);
            (Self(value), Self(vbslq_f32(is_second, second.1.0, first.1.0)))
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: lanes of this kind exist only where its instructions do.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: lanes of this kind exist only where its instructions do.
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: lanes of this kind exist only where its instructions do.
        Self(unsafe { vsqrtq_f32(self.0) })
    }
}
