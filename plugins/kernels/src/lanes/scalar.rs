//! Lanes for machines that have none, and what the others are checked against.

use super::Lanes;

/// One element.
#[derive(Clone, Copy)]
pub(crate) struct Scalar(f32);

impl Lanes for Scalar {
    const N: usize = 1;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(value)
    }

    #[inline(always)]
    unsafe fn read(at: *const f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { *at })
    }

    type Four = *const f32;

    #[inline(always)]
    unsafe fn read_four(at: *const f32) -> Self::Four {
        at
    }

    #[inline(always)]
    fn splat_of(four: Self::Four, nth: usize) -> Self {
        // SAFETY: who made it has four to be read.
        unsafe { Self(*four.add(nth)) }
    }

    #[inline(always)]
    unsafe fn write(self, at: *mut f32) {
        // SAFETY: the caller's.
        unsafe { *at = self.0 }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, _: usize, to: *mut f32, _: usize) {
        // SAFETY: the caller's.
        unsafe { *to = *from }
    }

    #[inline(always)]
    unsafe fn read_pairs(at: *const f32) -> (Self, Self) {
        // SAFETY: the caller's.
        unsafe { (Self(*at), Self(*at.add(1))) }
    }

    #[inline(always)]
    fn larger(first: (Self, Self), second: (Self, Self)) -> (Self, Self) {
        if second.0.0 > first.0.0 { second } else { first }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(crate::root::sqrt(self.0))
    }
}
