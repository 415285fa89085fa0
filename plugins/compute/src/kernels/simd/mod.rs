//! A few numbers side by side, on whatever the machine has.
//!
//! Every operation is one of IEEE 754, rounded once, and so has the same bits on every backend; how
//! many lanes there are never shows in a result.

#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod peak;
pub(crate) mod plain;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) mod simd128;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

pub use peak::peak;

use core::sync::atomic::{AtomicU8, Ordering};

use super::Float;

/// Lanes of one type.
///
/// Values of a backend exist only where its instructions do: `run_at` sees to that.
pub trait Lanes: Copy {
    /// The type of a lane.
    type T: Float;

    /// How many; a power of 2.
    const N: usize;

    /// The most rows of a tile with 1 to 4 vectors, so that its sums, a line of the right side
    /// and a factor stay in registers; 0 where tiles have no so many vectors.
    const ROWS: [usize; 4];

    /// Lines and columns of a block that [`transpose`](Self::transpose) takes.
    const SQUARE: usize;

    /// `value` in every lane.
    fn splat(value: Self::T) -> Self;

    /// Reads lanes from `at` on.
    ///
    /// # Safety
    /// `N` elements can be read from `at`.
    unsafe fn load(at: *const Self::T) -> Self;

    /// Reads the first `n` lanes, at most `N`; the others are +0.
    ///
    /// # Safety
    /// `n` elements can be read from `at`.
    unsafe fn load_part(at: *const Self::T, n: usize) -> Self;

    /// Writes lanes from `at` on.
    ///
    /// # Safety
    /// `N` elements can be written from `at`.
    unsafe fn store(self, at: *mut Self::T);

    /// Writes the first `n` lanes, at most `N`.
    ///
    /// # Safety
    /// `n` elements can be written from `at`.
    unsafe fn store_part(self, at: *mut Self::T, n: usize);

    /// Pieces of a vector that [`load_pieces`](Self::load_pieces) takes from two places, or 1.
    const PIECES: usize;

    /// Reads a vector whose halves lie in two places; all of it from `low` on if there is one
    /// piece.
    ///
    /// # Safety
    /// The pieces can be read.
    unsafe fn load_pieces(low: *const Self::T, high: *const Self::T) -> Self;

    /// Reads the first elements of both pieces, at most all; other lanes are +0.
    ///
    /// # Safety
    /// So many elements can be read.
    #[inline(always)]
    unsafe fn load_piece_parts(
        low: *const Self::T,
        n_low: usize,
        high: *const Self::T,
        n_high: usize,
    ) -> Self {
        let mut all = [Self::T::default(); 16];
        // SAFETY: the caller's; no lanes are more.
        unsafe {
            core::ptr::copy_nonoverlapping(low, all.as_mut_ptr(), n_low);
            if Self::PIECES == 2 {
                let to = all.as_mut_ptr().add(Self::N / 2);
                core::ptr::copy_nonoverlapping(high, to, n_high);
            }
            Self::load(all.as_ptr())
        }
    }

    /// Writes both pieces.
    ///
    /// # Safety
    /// The pieces can be written.
    unsafe fn store_pieces(self, low: *mut Self::T, high: *mut Self::T);

    /// Writes the first elements of both pieces, at most all.
    ///
    /// # Safety
    /// So many elements can be written.
    #[inline(always)]
    unsafe fn store_piece_parts(
        self,
        low: *mut Self::T,
        n_low: usize,
        high: *mut Self::T,
        n_high: usize,
    ) {
        let mut all = [Self::T::default(); 16];
        // SAFETY: the caller's; no lanes are more.
        unsafe {
            self.store(all.as_mut_ptr());
            core::ptr::copy_nonoverlapping(all.as_ptr(), low, n_low);
            if Self::PIECES == 2 {
                let from = all.as_ptr().add(Self::N / 2);
                core::ptr::copy_nonoverlapping(from, high, n_high);
            }
        }
    }

    /// Whether there are [`load_pairs`](Self::load_pairs), [`store_pairs`](Self::store_pairs) and
    /// [`to_first_largest`](Self::to_first_largest).
    const HAS_PAIRS: bool = false;

    /// Reads as many elements from `low` on, and from `high` on: all at even places, and all at odd
    /// ones.
    ///
    /// # Safety
    /// `N` elements can be read from each.
    #[inline(always)]
    unsafe fn load_pairs(low: *const Self::T, high: *const Self::T) -> [Self; 2] {
        // SAFETY: the caller's.
        unsafe { [Self::load(low), Self::load(high)] }
    }

    /// Writes what [`load_pairs`](Self::load_pairs) reads.
    ///
    /// # Safety
    /// `N` elements can be written from each.
    #[inline(always)]
    unsafe fn store_pairs(pairs: [Self; 2], low: *mut Self::T, high: *mut Self::T) {
        // SAFETY: the caller's.
        unsafe {
            pairs[0].store(low);
            pairs[1].store(high);
        }
    }

    /// Lane by lane, `value` where the first of the largest of four is, and +0 elsewhere; one that
    /// cannot be compared is not larger.
    #[inline(always)]
    fn to_first_largest(of: [Self; 4], _value: Self) -> [Self; 4] {
        of
    }

    /// `self · factor + addend`, rounded once.
    fn fused(self, factor: Self, addend: Self) -> Self;

    /// `self + other`, rounded.
    fn add(self, other: Self) -> Self;

    /// Copies the block of `SQUARE` × `SQUARE` elements at `from`, whose lines are `from_stride`
    /// apart, to `to`, lines `to_stride` apart, with lines and columns exchanged.
    ///
    /// # Safety
    /// All of the block can be read, and written.
    unsafe fn transpose(
        from: *const Self::T,
        from_stride: usize,
        to: *mut Self::T,
        to_stride: usize,
    );
}

/// Something to compute on lanes. `on` is inlined into a function that may use the instructions of
/// its backend, so it and all that it calls are `#[inline(always)]`, and there are no closures in
/// it that are not inlined.
pub(crate) trait Kernel<T: Float> {
    type Output;

    fn on<L: Lanes<T = T>>(self) -> Self::Output;
}

/// Instructions that kernels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// None beyond what every machine of the kind has; fused operations are made of others.
    Plain = 1,
    /// Four lanes of WebAssembly.
    Simd128,
    /// Four lanes of aarch64.
    Neon,
    /// Eight lanes, fused (AVX2 and FMA).
    Avx2,
    /// Sixteen lanes (AVX-512 F, VL, DQ, BW).
    Avx512,
}

/// The most that kernels may use; 0 as long as the machine was not asked.
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// What kernels use on this machine.
#[must_use]
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        0 => {
            let found = found();
            LEVEL.store(found as u8, Ordering::Relaxed);
            found
        }
        1 => Level::Plain,
        2 => Level::Simd128,
        3 => Level::Neon,
        4 => Level::Avx2,
        _ => Level::Avx512,
    }
}

/// Holds all kernels of the process to a level, or to what the machine has if that is less; for
/// tests and measurements. Results do not change. Returns what they use from now on.
pub fn limit(most: Level) -> Level {
    let level = most.min(found());
    // A machine has one kind of lanes: NEON alone is less than AVX2, but none of it.
    let level = if has(level) { level } else { Level::Plain };
    LEVEL.store(level as u8, Ordering::Relaxed);
    level
}

fn has(level: Level) -> bool {
    match level {
        Level::Plain => true,
        Level::Simd128 => cfg!(all(target_arch = "wasm32", target_feature = "simd128")),
        Level::Neon => cfg!(target_arch = "aarch64"),
        Level::Avx2 | Level::Avx512 => cfg!(target_arch = "x86_64") && found() >= level,
    }
}

/// What the machine has.
fn found() -> Level {
    #[cfg(target_arch = "x86_64")]
    return x86::found();
    #[cfg(target_arch = "aarch64")]
    return Level::Neon;
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return Level::Simd128;
    #[allow(unreachable_code, reason = "some machines always have lanes")]
    Level::Plain
}

/// Runs a kernel on the lanes of a level that [`level`] returned: once for an operation, so that
/// all of its parts take the same.
#[inline(always)]
pub(crate) fn run_at<T: Float, K: Kernel<T>>(level: Level, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    match level {
        // SAFETY: levels are what the machine has.
        Level::Avx512 => return unsafe { x86::run_avx512(kernel) },
        // SAFETY: as above.
        Level::Avx2 => return unsafe { x86::run_avx2(kernel) },
        _ => {}
    }
    #[cfg(target_arch = "aarch64")]
    if level == Level::Neon {
        return kernel.on::<T::Neon>();
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    if level == Level::Simd128 {
        return kernel.on::<T::Simd128>();
    }
    let _ = level;
    kernel.on::<plain::Plain<T>>()
}
