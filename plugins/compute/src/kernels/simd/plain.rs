//! Lanes for machines that have none, and what the others are checked against.

use super::Lanes;
use crate::kernels::Float;

/// One element.
#[derive(Clone, Copy)]
#[allow(unreachable_pub, reason = "lanes of a public type where there are no others")]
pub struct Plain<T>(T);

impl<T: Float> Lanes for Plain<T> {
    type T = T;

    const N: usize = 1;

    const ROWS: [usize; 4] = [4, 4, 0, 0];

    const SQUARE: usize = 1;

    const PIECES: usize = 1;

    #[inline(always)]
    unsafe fn load_pieces(low: *const T, _: *const T) -> Self {
        // SAFETY: the caller's.
        unsafe { Self::load(low) }
    }

    #[inline(always)]
    unsafe fn store_pieces(self, low: *mut T, _: *mut T) {
        // SAFETY: the caller's.
        unsafe { self.store(low) }
    }

    #[inline(always)]
    fn splat(value: T) -> Self {
        Self(value)
    }

    #[inline(always)]
    unsafe fn load(at: *const T) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { *at })
    }

    #[inline(always)]
    unsafe fn load_part(at: *const T, n: usize) -> Self {
        // SAFETY: the caller's.
        Self(if n == 0 { T::ZERO } else { unsafe { *at } })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut T) {
        // SAFETY: the caller's.
        unsafe { *at = self.0 }
    }

    #[inline(always)]
    unsafe fn store_part(self, at: *mut T, n: usize) {
        if n > 0 {
            // SAFETY: the caller's.
            unsafe { *at = self.0 }
        }
    }

    #[inline(always)]
    fn fused(self, factor: Self, addend: Self) -> Self {
        Self(self.0.fused(factor.0, addend.0))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    #[inline(always)]
    unsafe fn transpose(from: *const T, _: usize, to: *mut T, _: usize) {
        // SAFETY: the caller's.
        unsafe { *to = *from }
    }
}
