//! Lanes of NEON: four float32, two float64.

use core::arch::aarch64::*;

use super::Lanes;

macro_rules! lanes {
    ($(#[$doc:meta])* $name:ident($vector:ident of $type:ident, $n:literal):
        $splat:ident $load:ident $store:ident $fused:ident $add:ident, $transpose:ident,
        rows $rows:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name($vector);

        // SAFETY of all: lanes of this kind exist only where their instructions do; pointers are
        // the caller's.
        impl Lanes for $name {
            type T = $type;

            const N: usize = $n;

            const ROWS: [usize; 4] = $rows;

            const SQUARE: usize = $n;

            const PIECES: usize = 1;

            #[inline(always)]
            unsafe fn load_pieces(low: *const $type, _: *const $type) -> Self {
                // SAFETY: the caller's.
                unsafe { Self::load(low) }
            }

            #[inline(always)]
            unsafe fn store_pieces(self, low: *mut $type, _: *mut $type) {
                // SAFETY: the caller's.
                unsafe { self.store(low) }
            }

            #[inline(always)]
            fn splat(value: $type) -> Self {
                // SAFETY: above.
                Self(unsafe { $splat(value) })
            }

            #[inline(always)]
            unsafe fn load(at: *const $type) -> Self {
                // SAFETY: above.
                Self(unsafe { $load(at) })
            }

            #[inline(always)]
            unsafe fn load_part(at: *const $type, n: usize) -> Self {
                let mut all = [0.0; $n];
                for (nth, lane) in all.iter_mut().enumerate().take(n) {
                    // SAFETY: above.
                    *lane = unsafe { *at.add(nth) };
                }
                // SAFETY: above.
                Self(unsafe { $load(all.as_ptr()) })
            }

            #[inline(always)]
            unsafe fn store(self, at: *mut $type) {
                // SAFETY: above.
                unsafe { $store(at, self.0) }
            }

            #[inline(always)]
            unsafe fn store_part(self, at: *mut $type, n: usize) {
                let mut all = [0.0; $n];
                // SAFETY: above.
                unsafe { $store(all.as_mut_ptr(), self.0) }
                for (nth, lane) in all.iter().enumerate().take(n) {
                    // SAFETY: above.
                    unsafe { *at.add(nth) = *lane }
                }
            }

            #[inline(always)]
            fn fused(self, factor: Self, addend: Self) -> Self {
                // SAFETY: above.
                Self(unsafe { $fused(addend.0, self.0, factor.0) })
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: above.
                Self(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            unsafe fn transpose(
                from: *const $type,
                from_stride: usize,
                to: *mut $type,
                to_stride: usize,
            ) {
                // SAFETY: above.
                unsafe { $transpose(from, from_stride, to, to_stride) }
            }
        }
    };
}

#[inline(always)]
unsafe fn transpose_4(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
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
unsafe fn transpose_2(from: *const f64, from_stride: usize, to: *mut f64, to_stride: usize) {
    // SAFETY: the caller's.
    unsafe {
        let (a, b) = (vld1q_f64(from), vld1q_f64(from.add(from_stride)));
        vst1q_f64(to, vzip1q_f64(a, b));
        vst1q_f64(to.add(to_stride), vzip2q_f64(a, b));
    }
}

lanes! {
    /// Four float32.
    NeonF32(float32x4_t of f32, 4):
    vdupq_n_f32 vld1q_f32 vst1q_f32 vfmaq_f32 vaddq_f32, transpose_4, rows [8, 8, 8, 6]
}

lanes! {
    /// Two float64.
    NeonF64(float64x2_t of f64, 2):
    vdupq_n_f64 vld1q_f64 vst1q_f64 vfmaq_f64 vaddq_f64, transpose_2, rows [4, 4, 0, 0]
}
