//! Lanes of WebAssembly: four float32, fused by way of float64.

use core::arch::wasm32::*;

use super::Lanes;

/// Four float32.
#[derive(Clone, Copy)]
pub struct Simd128(v128);

/// Two products, exact in float64, added to two numbers and rounded to odd, as
/// [`fused_f32`](crate::kernels::fused::fused_f32).
#[inline(always)]
fn odd(a: v128, b: v128, c: v128) -> v128 {
    let product = f64x2_mul(f64x2_promote_low_f32x4(a), f64x2_promote_low_f32x4(b));
    let addend = f64x2_promote_low_f32x4(c);
    let sum = f64x2_add(product, addend);
    let other = f64x2_sub(sum, product);
    let lost = f64x2_add(f64x2_sub(product, f64x2_sub(sum, other)), f64x2_sub(addend, other));
    let zero = f64x2_splat(0.0);
    let is_inexact = f64x2_gt(f64x2_abs(lost), zero);
    let is_even = i64x2_eq(v128_and(sum, i64x2_splat(1)), i64x2_splat(0));
    // -1 where both have one sign, else 0; the step is 1 or -1.
    let is_beyond = i64x2_eq(f64x2_gt(lost, zero), f64x2_gt(sum, zero));
    let step = i64x2_sub(i64x2_splat(-1), i64x2_add(is_beyond, is_beyond));
    i64x2_add(sum, v128_and(step, v128_and(is_inexact, is_even)))
}

impl Lanes for Simd128 {
    type T = f32;

    const N: usize = 4;

    const ROWS: [usize; 4] = [4, 2, 0, 0];

    const SQUARE: usize = 4;

    const PIECES: usize = 1;

    #[inline(always)]
    unsafe fn load_pieces(low: *const f32, _: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self::load(low) }
    }

    #[inline(always)]
    unsafe fn store_pieces(self, low: *mut f32, _: *mut f32) {
        // SAFETY: the caller's.
        unsafe { self.store(low) }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(f32x4_splat(value))
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { v128_load(at.cast()) })
    }

    #[inline(always)]
    unsafe fn load_part(at: *const f32, n: usize) -> Self {
        let mut all = [0.0; 4];
        for (nth, lane) in all.iter_mut().enumerate().take(n) {
            // SAFETY: the caller's.
            *lane = unsafe { *at.add(nth) };
        }
        let [a, b, c, d] = all;
        Self(f32x4(a, b, c, d))
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: the caller's.
        unsafe { v128_store(at.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, at: *mut f32, n: usize) {
        let all = [
            f32x4_extract_lane::<0>(self.0),
            f32x4_extract_lane::<1>(self.0),
            f32x4_extract_lane::<2>(self.0),
            f32x4_extract_lane::<3>(self.0),
        ];
        for (nth, lane) in all.iter().enumerate().take(n) {
            // SAFETY: the caller's.
            unsafe { *at.add(nth) = *lane }
        }
    }

    #[inline(always)]
    fn fused(self, factor: Self, addend: Self) -> Self {
        let high = |x: v128| i64x2_shuffle::<1, 1>(x, x);
        let low = f32x4_demote_f64x2_zero(odd(self.0, factor.0, addend.0));
        let high = f32x4_demote_f64x2_zero(odd(high(self.0), high(factor.0), high(addend.0)));
        Self(i64x2_shuffle::<0, 2>(low, high))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(f32x4_add(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller's.
        unsafe {
            let [a, b, c, d] =
                [0, 1, 2, 3].map(|row| v128_load(from.add(row * from_stride).cast()));
            let (ab, cd) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<0, 4, 1, 5>(c, d));
            let (ef, gh) = (i32x4_shuffle::<2, 6, 3, 7>(a, b), i32x4_shuffle::<2, 6, 3, 7>(c, d));
            let rows = [
                i64x2_shuffle::<0, 2>(ab, cd),
                i64x2_shuffle::<1, 3>(ab, cd),
                i64x2_shuffle::<0, 2>(ef, gh),
                i64x2_shuffle::<1, 3>(ef, gh),
            ];
            for (row, lanes) in rows.into_iter().enumerate() {
                v128_store(to.add(row * to_stride).cast(), lanes);
            }
        }
    }
}
