// AVX-512 with VPOPCNTDQ (Ice Lake, Zen 4 and later): 512 pixels of a pair per instruction.
#include "bit_kernels.h"

#ifdef SOLO_D2_X86
#include <immintrin.h>

#define SOLO_D2_AVX512 __attribute__((target("avx512f,avx512bw,avx512vpopcntdq,popcnt")))

namespace solo_d2 {
namespace {

constexpr int64_t kWord = 64;
constexpr int64_t kLanes = 8;  // words per vector

SOLO_D2_AVX512 int64_t pack_bytes(const uint8_t* bytes, int64_t n, uint64_t* words) {
  int64_t total = 0;
  for (; n > 0; n -= kWord, bytes += kWord) {
    const __mmask64 valid = n >= kWord ? ~0ULL : (1ULL << n) - 1;
    const __m512i loaded = _mm512_maskz_loadu_epi8(valid, bytes);
    const uint64_t word = _mm512_test_epi8_mask(loaded, loaded);
    *words++ = word;
    total += _mm_popcnt_u64(word);
  }
  return total;
}

SOLO_D2_AVX512 inline double sum_of(__m512 x) {
  const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(x));
  const __m512d high = _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
  return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}

SOLO_D2_AVX512 int64_t pack_floats(const float* values, int64_t n, float threshold, uint64_t* words, double* sum) {
  const __m512 limit = _mm512_set1_ps(threshold);
  const int64_t full = n / kWord;
  int64_t total = 0;
  for (int64_t k = 0; k < full; ++k) {
    uint64_t word = 0;
    __m512 partial = _mm512_setzero_ps();
    for (int i = 0; i < 4; ++i, values += 16) {
      const __m512 value = _mm512_loadu_ps(values);
      const __mmask16 inside = _mm512_cmp_ps_mask(value, limit, _CMP_GT_OQ);
      word |= static_cast<uint64_t>(inside) << (16 * i);
      partial = _mm512_mask_add_ps(partial, inside, partial, value);
    }
    words[k] = word;
    if (word) {
      *sum += sum_of(partial);
      total += _mm_popcnt_u64(word);
    }
  }
  return total + kPortableKernels.pack_floats(values, n % kWord, threshold, words + full, sum);
}

SOLO_D2_AVX512 int64_t count(const uint64_t* words, int64_t n) {
  int64_t total = 0;
  for (int64_t k = 0; k < n; ++k) {
    total += _mm_popcnt_u64(words[k]);
  }
  return total;
}

SOLO_D2_AVX512 void intersections(const uint64_t* const* a, const uint64_t* const* b, int64_t n, int64_t* out) {
  __m512i sums[kTile][kTile];
  for (int i = 0; i < kTile; ++i) {
    for (int j = 0; j < kTile; ++j) {
      sums[i][j] = _mm512_setzero_si512();
    }
  }
  for (int64_t k = 0; k < n; k += kLanes) {
    const __mmask8 valid = n - k >= kLanes ? 0xff : (1 << (n - k)) - 1;
    __m512i columns[kTile];
    for (int j = 0; j < kTile; ++j) {
      columns[j] = _mm512_maskz_loadu_epi64(valid, b[j] + k);
    }
    for (int i = 0; i < kTile; ++i) {
      const __m512i row = _mm512_maskz_loadu_epi64(valid, a[i] + k);
      for (int j = 0; j < kTile; ++j) {
        const __m512i common = _mm512_and_si512(row, columns[j]);
        sums[i][j] = _mm512_add_epi64(sums[i][j], _mm512_popcnt_epi64(common));
      }
    }
  }
  for (int i = 0; i < kTile; ++i) {
    for (int j = 0; j < kTile; ++j) {
      out[i * kTile + j] = _mm512_reduce_add_epi64(sums[i][j]);
    }
  }
}

}  // namespace

const BitKernels kAvx512Kernels{"AVX-512", pack_bytes, pack_floats, count, intersections};

}  // namespace solo_d2
#endif
