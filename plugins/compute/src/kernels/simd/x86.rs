//! Lanes of AVX2 with FMA, and of AVX-512.

use core::arch::x86_64::*;
use core::sync::atomic::{AtomicU8, Ordering};

use super::pairs::*;
use super::{Kernel, Lanes, Level};
use crate::kernels::Float;

/// What this machine has.
pub(super) fn found() -> Level {
    /// 0 until the machine was asked.
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    if KNOWN.load(Ordering::Relaxed) == 0 {
        KNOWN.store(ask() as u8, Ordering::Relaxed);
    }
    match KNOWN.load(Ordering::Relaxed) {
        5 => Level::Avx512,
        4 => Level::Avx2,
        _ => Level::Plain,
    }
}

/// Asks processor and system (Intel SDM, volume 1, 14.3 and 15.2: detection of AVX2 and AVX-512).
#[cold]
fn ask() -> Level {
    const OSXSAVE_AVX_FMA: u32 = 1 << 27 | 1 << 28 | 1 << 12;
    const AVX_STATE: u64 = 0b110;
    const AVX512_STATE: u64 = 0b1110_0110;
    const AVX2: u32 = 1 << 5;
    const F_DQ_BW_VL: u32 = 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31;
    // SAFETY: called only after OSXSAVE was found.
    #[target_feature(enable = "xsave")]
    fn state() -> u64 {
        // SAFETY: register 0 exists where OSXSAVE does.
        unsafe { _xgetbv(0) }
    }
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE_AVX_FMA != OSXSAVE_AVX_FMA {
        return Level::Plain;
    }
    // SAFETY: OSXSAVE was found.
    let state = unsafe { state() };
    let features = __cpuid_count(7, 0).ebx;
    if state & AVX_STATE != AVX_STATE || features & AVX2 == 0 {
        return Level::Plain;
    }
    if state & AVX512_STATE == AVX512_STATE && features & F_DQ_BW_VL == F_DQ_BW_VL {
        return Level::Avx512;
    }
    Level::Avx2
}

/// Runs a kernel on sixteen lanes.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
pub(super) fn run_avx512<T: Float, K: Kernel<T>>(kernel: K) -> K::Output {
    kernel.on::<T::Avx512>()
}

/// Runs a kernel on eight lanes.
#[target_feature(enable = "avx2,fma")]
pub(super) fn run_avx2<T: Float, K: Kernel<T>>(kernel: K) -> K::Output {
    kernel.on::<T::Avx2>()
}

/// Exchanges lines and columns of 8 x 8 float32.
///
/// # Safety
/// As [`Lanes::transpose`]; the machine has AVX2.
#[inline(always)]
unsafe fn transpose_8(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    // SAFETY: the caller's.
    unsafe {
        // Halves of lines that are four apart in one vector: what is left stays within halves.
        let line = |nth: usize| {
            let low = _mm_loadu_ps(from.add(nth % 4 * from_stride + nth / 4 * 4));
            let high = _mm_loadu_ps(from.add((nth % 4 + 4) * from_stride + nth / 4 * 4));
            _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(low), high)
        };
        for half in 0..2 {
            let (a, b) = (line(4 * half), line(4 * half + 1));
            let (c, d) = (line(4 * half + 2), line(4 * half + 3));
            let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
            let (ef, gh) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
            let to = to.add(4 * half * to_stride);
            _mm256_storeu_ps(to, _mm256_shuffle_ps::<0x44>(ab, cd));
            _mm256_storeu_ps(to.add(to_stride), _mm256_shuffle_ps::<0xee>(ab, cd));
            _mm256_storeu_ps(to.add(2 * to_stride), _mm256_shuffle_ps::<0x44>(ef, gh));
            _mm256_storeu_ps(to.add(3 * to_stride), _mm256_shuffle_ps::<0xee>(ef, gh));
        }
    }
}

/// Exchanges lines and columns of 4 x 4 float64.
///
/// # Safety
/// As [`Lanes::transpose`]; the machine has AVX2.
#[inline(always)]
unsafe fn transpose_4(from: *const f64, from_stride: usize, to: *mut f64, to_stride: usize) {
    // SAFETY: the caller's.
    unsafe {
        let (a, b) = (_mm256_loadu_pd(from), _mm256_loadu_pd(from.add(from_stride)));
        let c = _mm256_loadu_pd(from.add(2 * from_stride));
        let d = _mm256_loadu_pd(from.add(3 * from_stride));
        let (ab, cd) = (_mm256_unpacklo_pd(a, b), _mm256_unpacklo_pd(c, d));
        let (ef, gh) = (_mm256_unpackhi_pd(a, b), _mm256_unpackhi_pd(c, d));
        _mm256_storeu_pd(to, _mm256_permute2f128_pd::<0x20>(ab, cd));
        _mm256_storeu_pd(to.add(to_stride), _mm256_permute2f128_pd::<0x20>(ef, gh));
        _mm256_storeu_pd(to.add(2 * to_stride), _mm256_permute2f128_pd::<0x31>(ab, cd));
        _mm256_storeu_pd(to.add(3 * to_stride), _mm256_permute2f128_pd::<0x31>(ef, gh));
    }
}

/// Declares lanes; `$part` is a mask of the first `n` of them.
macro_rules! lanes {
    ($(#[$doc:meta])* $name:ident($vector:ident of $type:ident, $n:literal, $rows:expr):
        $splat:ident $load:ident $store:ident $fused:ident $add:ident,
        part $load_part:expr, $store_part:expr, transpose $transpose:ident $square:literal,
        pieces $pieces:literal $load_pieces:ident $store_pieces:ident
        $(parts $load_parts:ident $store_parts:ident)?
        $(, pairs $load_pairs:ident $store_pairs:ident $first_largest:ident)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name($vector);

        // SAFETY of all: lanes of this kind exist only where their instructions do; pointers are
        // the caller's.
        impl Lanes for $name {
            type T = $type;

            const N: usize = $n;

            const ROWS: [usize; 4] = $rows;

            const SQUARE: usize = $square;

            const PIECES: usize = $pieces;

            #[inline(always)]
            unsafe fn load_pieces(low: *const $type, high: *const $type) -> Self {
                // SAFETY: above.
                Self(unsafe { $load_pieces(low, high) })
            }

            #[inline(always)]
            unsafe fn store_pieces(self, low: *mut $type, high: *mut $type) {
                // SAFETY: above.
                unsafe { $store_pieces(self.0, low, high) }
            }

            $(
                #[inline(always)]
                unsafe fn load_piece_parts(
                    low: *const $type,
                    n_low: usize,
                    high: *const $type,
                    n_high: usize,
                ) -> Self {
                    // SAFETY: above.
                    Self(unsafe { $load_parts(low, n_low, high, n_high) })
                }

                #[inline(always)]
                unsafe fn store_piece_parts(
                    self,
                    low: *mut $type,
                    n_low: usize,
                    high: *mut $type,
                    n_high: usize,
                ) {
                    // SAFETY: above.
                    unsafe { $store_parts(self.0, low, n_low, high, n_high) }
                }
            )?

            $(
                const HAS_PAIRS: bool = true;

                #[inline(always)]
                unsafe fn load_pairs(low: *const $type, high: *const $type) -> [Self; 2] {
                    // SAFETY: above.
                    unsafe { $load_pairs(low, high) }.map(Self)
                }

                #[inline(always)]
                unsafe fn store_pairs([even, odd]: [Self; 2], low: *mut $type, high: *mut $type) {
                    // SAFETY: above.
                    unsafe { $store_pairs(even.0, odd.0, low, high) }
                }

                #[inline(always)]
                fn to_first_largest([a, b, c, d]: [Self; 4], value: Self) -> [Self; 4] {
                    // SAFETY: above.
                    unsafe { $first_largest([a.0, b.0, c.0, d.0], value.0) }.map(Self)
                }
            )?

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
                // SAFETY: above.
                Self(unsafe { $load_part(at, n) })
            }

            #[inline(always)]
            unsafe fn store(self, at: *mut $type) {
                // SAFETY: above.
                unsafe { $store(at, self.0) }
            }

            #[inline(always)]
            unsafe fn store_part(self, at: *mut $type, n: usize) {
                // SAFETY: above.
                unsafe { $store_part(at, n, self.0) }
            }

            #[inline(always)]
            fn fused(self, factor: Self, addend: Self) -> Self {
                // SAFETY: above.
                Self(unsafe { $fused(self.0, factor.0, addend.0) })
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

/// Masks of vectors: the eight lanes (or four) that begin n before the middle have n set ones.
static SET_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
static SET_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

#[inline(always)]
unsafe fn mask_32(n: usize) -> __m256i {
    // SAFETY: n is at most 8: eight lanes from there are within.
    unsafe { _mm256_loadu_si256(SET_32.as_ptr().add(8 - n).cast()) }
}

#[inline(always)]
unsafe fn mask_64(n: usize) -> __m256i {
    // SAFETY: n is at most 4: four lanes from there are within.
    unsafe { _mm256_loadu_si256(SET_64.as_ptr().add(4 - n).cast()) }
}

// SAFETY of all pieces: the caller has the instructions; pointers are the caller's.
#[inline(always)]
unsafe fn load_two_8(low: *const f32, high: *const f32) -> __m512 {
    // SAFETY: above.
    unsafe {
        let low = _mm512_castps256_ps512(_mm256_loadu_ps(low));
        _mm512_insertf32x8::<1>(low, _mm256_loadu_ps(high))
    }
}

#[inline(always)]
unsafe fn store_two_8(value: __m512, low: *mut f32, high: *mut f32) {
    // SAFETY: above.
    unsafe {
        _mm256_storeu_ps(low, _mm512_castps512_ps256(value));
        _mm256_storeu_ps(high, _mm512_extractf32x8_ps::<1>(value));
    }
}

#[inline(always)]
unsafe fn load_part_8(at: *const f32, n: usize) -> __m256 {
    // SAFETY: above; lanes that a mask leaves out are not read.
    unsafe {
        if n == 8 {
            return _mm256_loadu_ps(at);
        }
        _mm256_maskz_loadu_ps(((1u32 << n) - 1) as u8, at)
    }
}

/// Whole pieces without a mask: masked stores are slower, and so are loads that follow them.
#[inline(always)]
unsafe fn store_part_8(value: __m256, at: *mut f32, n: usize) {
    // SAFETY: above; lanes that a mask leaves out are not written.
    unsafe {
        if n == 8 {
            _mm256_storeu_ps(at, value);
        } else {
            _mm256_mask_storeu_ps(at, ((1u32 << n) - 1) as u8, value);
        }
    }
}

#[inline(always)]
unsafe fn load_parts_16(low: *const f32, n_low: usize, high: *const f32, n_high: usize) -> __m512 {
    // SAFETY: above.
    unsafe {
        let low = _mm512_castps256_ps512(load_part_8(low, n_low));
        _mm512_insertf32x8::<1>(low, load_part_8(high, n_high))
    }
}

#[inline(always)]
unsafe fn store_parts_16(
    value: __m512,
    low: *mut f32,
    n_low: usize,
    high: *mut f32,
    n_high: usize,
) {
    // SAFETY: above.
    unsafe {
        store_part_8(_mm512_castps512_ps256(value), low, n_low);
        store_part_8(_mm512_extractf32x8_ps::<1>(value), high, n_high);
    }
}

#[inline(always)]
unsafe fn load_two_4_f64(low: *const f64, high: *const f64) -> __m512d {
    // SAFETY: above.
    unsafe {
        let low = _mm512_castpd256_pd512(_mm256_loadu_pd(low));
        _mm512_insertf64x4::<1>(low, _mm256_loadu_pd(high))
    }
}

#[inline(always)]
unsafe fn store_two_4_f64(value: __m512d, low: *mut f64, high: *mut f64) {
    // SAFETY: above.
    unsafe {
        _mm256_storeu_pd(low, _mm512_castpd512_pd256(value));
        _mm256_storeu_pd(high, _mm512_extractf64x4_pd::<1>(value));
    }
}

#[inline(always)]
unsafe fn load_two_4(low: *const f32, high: *const f32) -> __m256 {
    // SAFETY: above.
    unsafe {
        let low = _mm256_castps128_ps256(_mm_loadu_ps(low));
        _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(high))
    }
}

#[inline(always)]
unsafe fn store_two_4(value: __m256, low: *mut f32, high: *mut f32) {
    // SAFETY: above.
    unsafe {
        _mm_storeu_ps(low, _mm256_castps256_ps128(value));
        _mm_storeu_ps(high, _mm256_extractf128_ps::<1>(value));
    }
}

#[inline(always)]
unsafe fn load_part_4(at: *const f32, n: usize) -> __m128 {
    // SAFETY: above.
    unsafe {
        if n == 4 {
            return _mm_loadu_ps(at);
        }
        _mm_maskload_ps(at, _mm256_castsi256_si128(mask_32(n)))
    }
}

#[inline(always)]
unsafe fn store_part_4(value: __m128, at: *mut f32, n: usize) {
    // SAFETY: above.
    unsafe {
        if n == 4 {
            _mm_storeu_ps(at, value);
        } else {
            _mm_maskstore_ps(at, _mm256_castsi256_si128(mask_32(n)), value);
        }
    }
}

#[inline(always)]
unsafe fn load_parts_8(low: *const f32, n_low: usize, high: *const f32, n_high: usize) -> __m256 {
    // SAFETY: above.
    unsafe {
        let low = _mm256_castps128_ps256(load_part_4(low, n_low));
        _mm256_insertf128_ps::<1>(low, load_part_4(high, n_high))
    }
}

#[inline(always)]
unsafe fn store_parts_8(value: __m256, low: *mut f32, n_low: usize, high: *mut f32, n_high: usize) {
    // SAFETY: above.
    unsafe {
        store_part_4(_mm256_castps256_ps128(value), low, n_low);
        store_part_4(_mm256_extractf128_ps::<1>(value), high, n_high);
    }
}

#[inline(always)]
unsafe fn load_one_f64(low: *const f64, _: *const f64) -> __m256d {
    // SAFETY: above.
    unsafe { _mm256_loadu_pd(low) }
}

#[inline(always)]
unsafe fn store_one_f64(value: __m256d, low: *mut f64, _: *mut f64) {
    // SAFETY: above.
    unsafe { _mm256_storeu_pd(low, value) }
}

lanes! {
    /// Sixteen float32.
    Avx512F32(__m512 of f32, 16, [8, 8, 8, 6]):
    _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_fmadd_ps _mm512_add_ps,
    part
    |at, n| _mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, at),
    |at, n, value| _mm512_mask_storeu_ps(at, ((1u32 << n) - 1) as u16, value),
    transpose transpose_8 8,
    pieces 2 load_two_8 store_two_8 parts load_parts_16 store_parts_16,
    pairs load_pairs_16 store_pairs_16 first_largest_16
}

lanes! {
    /// Eight float64.
    Avx512F64(__m512d of f64, 8, [4, 4, 0, 0]):
    _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_fmadd_pd _mm512_add_pd,
    part
    |at, n| _mm512_maskz_loadu_pd(((1u32 << n) - 1) as u8, at),
    |at, n, value| _mm512_mask_storeu_pd(at, ((1u32 << n) - 1) as u8, value),
    transpose transpose_4 4,
    pieces 2 load_two_4_f64 store_two_4_f64
}

lanes! {
    /// Eight float32.
    Avx2F32(__m256 of f32, 8, [8, 6, 0, 0]):
    _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_fmadd_ps _mm256_add_ps,
    part
    |at, n| _mm256_maskload_ps(at, mask_32(n)),
    |at, n, value| _mm256_maskstore_ps(at, mask_32(n), value),
    transpose transpose_8 8,
    pieces 2 load_two_4 store_two_4 parts load_parts_8 store_parts_8,
    pairs load_pairs_8 store_pairs_8 first_largest_8
}

lanes! {
    /// Four float64.
    Avx2F64(__m256d of f64, 4, [4, 4, 0, 0]):
    _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_fmadd_pd _mm256_add_pd,
    part
    |at, n| _mm256_maskload_pd(at, mask_64(n)),
    |at, n, value| _mm256_maskstore_pd(at, mask_64(n), value),
    transpose transpose_4 4,
    pieces 1 load_one_f64 store_one_f64
}
