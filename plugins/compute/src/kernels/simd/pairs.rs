//! Pairs of float32 side by side on AVX2 and AVX-512, and the first of the largest of four, for
//! pooling.

use core::arch::x86_64::*;

// SAFETY of all: the caller has the instructions; pointers are the caller's, a whole vector at each.

#[inline(always)]
pub(super) unsafe fn load_pairs_16(low: *const f32, high: *const f32) -> [__m512; 2] {
    // SAFETY: above.
    unsafe {
        let (low, high) = (_mm512_loadu_ps(low), _mm512_loadu_ps(high));
        let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
        [_mm512_permutex2var_ps(low, even, high), _mm512_permutex2var_ps(low, odd, high)]
    }
}

#[inline(always)]
pub(super) unsafe fn store_pairs_16(even: __m512, odd: __m512, low: *mut f32, high: *mut f32) {
    // SAFETY: above.
    unsafe {
        let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
        _mm512_storeu_ps(low, _mm512_permutex2var_ps(even, first, odd));
        _mm512_storeu_ps(high, _mm512_permutex2var_ps(even, second, odd));
    }
}

#[inline(always)]
pub(super) unsafe fn first_largest_16([a, b, c, d]: [__m512; 4], value: __m512) -> [__m512; 4] {
    // SAFETY: above.
    unsafe {
        let is_b = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(b, a);
        let max = _mm512_mask_blend_ps(is_b, a, b);
        let is_c = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(c, max);
        let is_d = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(d, _mm512_mask_blend_ps(is_c, max, c));
        let is_later = is_c | is_d;
        [!(is_b | is_later), is_b & !is_later, is_c & !is_d, is_d]
            .map(|which| _mm512_maskz_mov_ps(which, value))
    }
}

#[inline(always)]
pub(super) unsafe fn load_pairs_8(low: *const f32, high: *const f32) -> [__m256; 2] {
    // SAFETY: above.
    unsafe {
        let (a, b) = (_mm256_loadu_ps(low), _mm256_loadu_ps(high));
        // The halves in their order first, since shuffles stay within halves.
        let low = _mm256_permute2f128_ps::<0x20>(a, b);
        let high = _mm256_permute2f128_ps::<0x31>(a, b);
        let even = _mm256_shuffle_ps::<0b10_00_10_00>(low, high);
        let odd = _mm256_shuffle_ps::<0b11_01_11_01>(low, high);
        [even, odd]
    }
}

#[inline(always)]
pub(super) unsafe fn store_pairs_8(even: __m256, odd: __m256, low: *mut f32, high: *mut f32) {
    // SAFETY: above.
    unsafe {
        let (a, b) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
        _mm256_storeu_ps(low, _mm256_permute2f128_ps::<0x20>(a, b));
        _mm256_storeu_ps(high, _mm256_permute2f128_ps::<0x31>(a, b));
    }
}

#[inline(always)]
pub(super) unsafe fn first_largest_8([a, b, c, d]: [__m256; 4], value: __m256) -> [__m256; 4] {
    // SAFETY: above.
    unsafe {
        let is_b = _mm256_cmp_ps::<_CMP_GT_OQ>(b, a);
        let max = _mm256_blendv_ps(a, b, is_b);
        let is_c = _mm256_cmp_ps::<_CMP_GT_OQ>(c, max);
        let is_d = _mm256_cmp_ps::<_CMP_GT_OQ>(d, _mm256_blendv_ps(max, c, is_c));
        let is_later = _mm256_or_ps(is_c, is_d);
        let rest = _mm256_andnot_ps(is_later, value);
        let to_c = _mm256_andnot_ps(is_d, _mm256_and_ps(is_c, value));
        let [to_a, to_b] = [_mm256_andnot_ps(is_b, rest), _mm256_and_ps(is_b, rest)];
        [to_a, to_b, to_c, _mm256_and_ps(is_d, value)]
    }
}
