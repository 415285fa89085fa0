//! A few float32 side by side, on whatever the machine has.
//!
//! Every operation is one of IEEE 754, rounded by itself, and so has the same bits on every
//! backend; how many lanes there are never shows in a result.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

pub(crate) use scalar::Scalar;

/// Lanes of float32.
///
/// Values of a backend exist only where its instructions do: [`run`] sees to that.
pub(crate) trait Lanes: Copy {
    /// How many; a divisor of 8.
    const N: usize;

    /// `value` in every lane.
    fn splat(value: f32) -> Self;

    /// Reads lanes from `at` on.
    ///
    /// # Safety
    /// `N` elements can be read from `at`.
    unsafe fn read(at: *const f32) -> Self;

    /// Four elements that are splatted one by one.
    type Four: Copy;

    /// Reads four elements from `at` on.
    ///
    /// # Safety
    /// Four can be read, for as long as the result is used.
    unsafe fn read_four(at: *const f32) -> Self::Four;

    /// The `nth` of the four in every lane.
    fn splat_of(four: Self::Four, nth: usize) -> Self;

    /// Writes lanes from `at` on.
    ///
    /// # Safety
    /// `N` elements can be written from `at`.
    unsafe fn write(self, at: *mut f32);

    /// Copies the block of `N` × `N` elements at `from`, whose lines are `from_stride` apart,
    /// to `to`, lines `to_stride` apart, with lines and columns exchanged.
    ///
    /// # Safety
    /// All of the block can be read, and written.
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize);

    /// Reads twice as many elements from `at` on: those at even places, and those at odd ones.
    ///
    /// # Safety
    /// `2 N` elements can be read from `at`.
    unsafe fn read_pairs(at: *const f32) -> (Self, Self);

    /// Lane by lane the larger of two values, with the bits that belong to it; the first one where
    /// they are equal or cannot be compared.
    fn larger(first: (Self, Self), second: (Self, Self)) -> (Self, Self);

    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
}

/// Something to compute on lanes. `on` is inlined into a function that may use the
/// instructions of its backend, so it and all that it calls are `#[inline(always)]`.
pub(crate) trait Kernel {
    type Output;

    fn on<L: Lanes>(self) -> Self::Output;
}

/// Runs a kernel on the widest lanes of this machine.
#[inline(always)]
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    if is_scalar() {
        return kernel.on::<Scalar>();
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return kernel.on::<simd128::Simd128>();
    #[cfg(target_arch = "aarch64")]
    return kernel.on::<neon::Neon>();
    #[cfg(target_arch = "x86_64")]
    if avx2::is_here() {
        // SAFETY: it is here.
        return unsafe { avx2::run(kernel) };
    }
    #[allow(unreachable_code, reason = "some machines always have lanes")]
    kernel.on::<Scalar>()
}

/// Whether there are eight lanes, and multiplication fused with addition.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_fused() -> bool {
    avx2::is_here() && avx2::has_fused()
}

/// Tests can ask for plain code.
#[cfg(not(test))]
#[inline(always)]
fn is_scalar() -> bool {
    false
}

#[cfg(test)]
pub(crate) use tests::{is_scalar, on_scalar};

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::Cell;

    std::thread_local! {
        static IS_SCALAR: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn is_scalar() -> bool {
        IS_SCALAR.get()
    }

    /// Computes without lanes.
    pub(crate) fn on_scalar<T>(f: impl FnOnce() -> T) -> T {
        IS_SCALAR.set(true);
        let value = f();
        IS_SCALAR.set(false);
        value
    }
}
