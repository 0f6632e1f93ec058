// AVX-512: sixteen pixels per instruction, the ends of rows by masks.
#include "row_kernels.h"

#ifdef SOLO_D2_X86
#include <immintrin.h>

#define SOLO_D2_AVX512 __attribute__((target("avx512f,avx512bw")))

namespace solo_d2 {
namespace {

constexpr int64_t kLanes = 16;

SOLO_D2_AVX512 inline __mmask16 lanes_of(int64_t left) {
  return left >= kLanes ? 0xffff : left > 0 ? static_cast<__mmask16>((1u << left) - 1) : 0;
}

SOLO_D2_AVX512 inline __m512 blended(__m512 low, __m512 high, __m512 low_weight, __m512 high_weight) {
  return _mm512_fmadd_ps(low_weight, low, _mm512_mul_ps(high_weight, high));
}

SOLO_D2_AVX512 inline __m512 gather(__mmask16 lanes, const float* row, const int32_t* positions) {
  const __m512i index = _mm512_maskz_loadu_epi32(lanes, positions);
  return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, index, row, 4);
}

SOLO_D2_AVX512 void stretch(const float* row, const int32_t* low, const int32_t* high, const float* low_weight,
                            const float* high_weight, int64_t n, float* out) {
  for (int64_t k = 0; k < n; k += kLanes) {
    const __mmask16 lanes = lanes_of(n - k);
    const __m512 value = blended(gather(lanes, row, low + k), gather(lanes, row, high + k),
                                 _mm512_maskz_loadu_ps(lanes, low_weight + k),
                                 _mm512_maskz_loadu_ps(lanes, high_weight + k));
    _mm512_mask_storeu_ps(out + k, lanes, value);
  }
}

SOLO_D2_AVX512 void blend(const float* low, const float* high, float low_weight, float high_weight, int64_t n,
                          float* out) {
  const __m512 low_factor = _mm512_set1_ps(low_weight);
  const __m512 high_factor = _mm512_set1_ps(high_weight);
  for (int64_t k = 0; k < n; k += kLanes) {
    const __mmask16 lanes = lanes_of(n - k);
    const __m512 value = blended(_mm512_maskz_loadu_ps(lanes, low + k), _mm512_maskz_loadu_ps(lanes, high + k),
                                 low_factor, high_factor);
    _mm512_mask_storeu_ps(out + k, lanes, value);
  }
}

SOLO_D2_AVX512 void blend_bits(const float* low, const float* high, float low_weight, float high_weight,
                               float threshold, int64_t n, uint64_t* words) {
  const __m512 low_factor = _mm512_set1_ps(low_weight);
  const __m512 high_factor = _mm512_set1_ps(high_weight);
  const __m512 limit = _mm512_set1_ps(threshold);
  for (int64_t start = 0; start < n; start += 64) {
    uint64_t word = 0;
    for (int64_t k = start; k < start + 64; k += kLanes) {
      const __mmask16 lanes = lanes_of(n - k);
      const __m512 value = blended(_mm512_maskz_loadu_ps(lanes, low + k), _mm512_maskz_loadu_ps(lanes, high + k),
                                   low_factor, high_factor);
      const __mmask16 inside = _mm512_mask_cmp_ps_mask(lanes, value, limit, _CMP_GT_OQ);
      word |= static_cast<uint64_t>(inside) << (k - start);
    }
    *words++ = word;
  }
}

SOLO_D2_AVX512 void unpack(const uint64_t* words, int64_t n, uint8_t* bytes) {
  for (int64_t k = 0; k < n; k += 64) {
    const __mmask64 valid = n - k >= 64 ? ~0ULL : (1ULL << (n - k)) - 1;
    _mm512_mask_storeu_epi8(bytes + k, valid, _mm512_maskz_set1_epi8(words[k / 64], 1));
  }
}

}  // namespace

const RowKernels kAvx512RowKernels{true, stretch, blend, blend_bits, unpack};

}  // namespace solo_d2
#endif
