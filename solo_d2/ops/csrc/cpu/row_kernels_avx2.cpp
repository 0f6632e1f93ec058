// AVX2 with fused multiply-add: eight pixels per instruction, the rest of a row by scalars of the same rounding.
#include "row_kernels.h"

#ifdef SOLO_D2_X86
#include <immintrin.h>

#include <algorithm>

#define SOLO_D2_AVX2 __attribute__((target("avx2,fma")))

namespace solo_d2 {
namespace {

constexpr int64_t kLanes = 8;

SOLO_D2_AVX2 inline float blended(float low, float high, float low_weight, float high_weight) {
  return __builtin_fmaf(low_weight, low, high_weight * high);
}

SOLO_D2_AVX2 inline __m256 blended(__m256 low, __m256 high, __m256 low_weight, __m256 high_weight) {
  return _mm256_fmadd_ps(low_weight, low, _mm256_mul_ps(high_weight, high));
}

SOLO_D2_AVX2 void stretch(const float* row, const int32_t* low, const int32_t* high, const float* low_weight,
                          const float* high_weight, int64_t n, float* out) {
  int64_t k = 0;
  for (; k + kLanes <= n; k += kLanes) {
    const __m256i low_at = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low + k));
    const __m256i high_at = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(high + k));
    const __m256 value = blended(_mm256_i32gather_ps(row, low_at, 4), _mm256_i32gather_ps(row, high_at, 4),
                                 _mm256_loadu_ps(low_weight + k), _mm256_loadu_ps(high_weight + k));
    _mm256_storeu_ps(out + k, value);
  }
  for (; k < n; ++k) {
    out[k] = blended(row[low[k]], row[high[k]], low_weight[k], high_weight[k]);
  }
}

SOLO_D2_AVX2 void blend(const float* low, const float* high, float low_weight, float high_weight, int64_t n,
                        float* out) {
  const __m256 low_factor = _mm256_set1_ps(low_weight);
  const __m256 high_factor = _mm256_set1_ps(high_weight);
  int64_t k = 0;
  for (; k + kLanes <= n; k += kLanes) {
    _mm256_storeu_ps(out + k, blended(_mm256_loadu_ps(low + k), _mm256_loadu_ps(high + k), low_factor, high_factor));
  }
  for (; k < n; ++k) {
    out[k] = blended(low[k], high[k], low_weight, high_weight);
  }
}

SOLO_D2_AVX2 void blend_bits(const float* low, const float* high, float low_weight, float high_weight,
                             float threshold, int64_t n, uint64_t* words) {
  const __m256 low_factor = _mm256_set1_ps(low_weight);
  const __m256 high_factor = _mm256_set1_ps(high_weight);
  const __m256 limit = _mm256_set1_ps(threshold);
  for (int64_t start = 0; start < n; start += 64) {
    const int64_t length = std::min<int64_t>(64, n - start);
    uint64_t word = 0;
    int64_t k = 0;
    for (; k + kLanes <= length; k += kLanes) {
      const __m256 value = blended(_mm256_loadu_ps(low + start + k), _mm256_loadu_ps(high + start + k), low_factor,
                                   high_factor);
      const int inside = _mm256_movemask_ps(_mm256_cmp_ps(value, limit, _CMP_GT_OQ));
      word |= static_cast<uint64_t>(static_cast<uint32_t>(inside)) << k;
    }
    for (; k < length; ++k) {
      const float value = blended(low[start + k], high[start + k], low_weight, high_weight);
      word |= static_cast<uint64_t>(value > threshold) << k;
    }
    *words++ = word;
  }
}

// Every byte gets the byte of `bits` that holds its bit, and then keeps that bit alone.
SOLO_D2_AVX2 inline __m256i bytes_of(uint32_t bits) {
  const __m256i source = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
                                          2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201ULL));
  const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int32_t>(bits)), source);
  const __m256i found = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
  return _mm256_and_si256(found, _mm256_set1_epi8(1));
}

SOLO_D2_AVX2 void unpack(const uint64_t* words, int64_t n, uint8_t* bytes) {
  int64_t k = 0;
  for (; k + 64 <= n; k += 64) {
    const uint64_t word = words[k / 64];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes + k), bytes_of(static_cast<uint32_t>(word)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes + k + 32), bytes_of(static_cast<uint32_t>(word >> 32)));
  }
  kPortableRowKernels.unpack(words + k / 64, n - k, bytes + k);
}

}  // namespace

const RowKernels kAvx2RowKernels{true, stretch, blend, blend_bits, unpack};

}  // namespace solo_d2
#endif
