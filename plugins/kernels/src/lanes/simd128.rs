//! Lanes of WebAssembly: four.

use core::arch::wasm32::*;

use super::Lanes;

/// Four elements.
#[derive(Clone, Copy)]
pub(crate) struct Simd128(v128);

impl Lanes for Simd128 {
    const N: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(f32x4_splat(value))
    }

    #[inline(always)]
    unsafe fn read(at: *const f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { v128_load(at.cast()) })
    }

    type Four = v128;

    #[inline(always)]
    unsafe fn read_four(at: *const f32) -> Self::Four {
        // SAFETY: the caller's.
        unsafe { v128_load(at.cast()) }
    }

    #[inline(always)]
    fn splat_of(four: Self::Four, nth: usize) -> Self {
        Self(match nth {
            0 => i32x4_shuffle::<0, 0, 0, 0>(four, four),
            1 => i32x4_shuffle::<1, 1, 1, 1>(four, four),
            2 => i32x4_shuffle::<2, 2, 2, 2>(four, four),
            _ => i32x4_shuffle::<3, 3, 3, 3>(four, four),
        })
    }

    #[inline(always)]
    unsafe fn write(self, at: *mut f32) {
        // SAFETY: the caller's.
        unsafe { v128_store(at.cast(), self.0) }
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

    #[inline(always)]
    unsafe fn read_pairs(at: *const f32) -> (Self, Self) {
        // SAFETY: the caller's.
        let (a, b) = unsafe { (v128_load(at.cast()), v128_load(at.add(4).cast())) };
        (Self(i32x4_shuffle::<0, 2, 4, 6>(a, b)), Self(i32x4_shuffle::<1, 3, 5, 7>(a, b)))
    }

    #[inline(always)]
    fn larger(first: (Self, Self), second: (Self, Self)) -> (Self, Self) {
        let is_second = f32x4_gt(second.0.0, first.0.0);
        let pick = |first: Self, second: Self| Self(v128_bitselect(second.0, first.0, is_second));
        (pick(first.0, second.0), pick(first.1, second.1))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(f32x4_add(self.0, other.0))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(f32x4_mul(self.0, other.0))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(f32x4_sqrt(self.0))
    }
}
