// AVX2: comparisons to bit masks, and the population count by table lookup in bytes (Mula et al., 2016).
#include "bit_kernels.h"

#ifdef SOLO_D2_X86
#include <immintrin.h>

#include <algorithm>

#define SOLO_D2_AVX2 __attribute__((target("avx2,popcnt")))

namespace solo_d2 {
namespace {

constexpr int64_t kWord = 64;
constexpr int64_t kLanes = 4;  // words per vector

SOLO_D2_AVX2 inline uint32_t nonzero_bytes(const uint8_t* bytes) {
  const __m256i loaded = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  const __m256i zero = _mm256_cmpeq_epi8(loaded, _mm256_setzero_si256());
  return ~static_cast<uint32_t>(_mm256_movemask_epi8(zero));
}

SOLO_D2_AVX2 int64_t pack_bytes(const uint8_t* bytes, int64_t n, uint64_t* words) {
  const int64_t full = n / kWord;
  int64_t total = 0;
  for (int64_t k = 0; k < full; ++k, bytes += kWord) {
    const uint64_t word = nonzero_bytes(bytes) | static_cast<uint64_t>(nonzero_bytes(bytes + 32)) << 32;
    words[k] = word;
    total += _mm_popcnt_u64(word);
  }
  return total + kPortableKernels.pack_bytes(bytes, n % kWord, words + full);
}

SOLO_D2_AVX2 inline double sum_of(__m256 x) {
  const __m256d pairs = _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
                                      _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
  alignas(32) double lanes[4];
  _mm256_store_pd(lanes, pairs);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

SOLO_D2_AVX2 int64_t pack_floats(const float* values, int64_t n, float threshold, uint64_t* words, double* sum) {
  const __m256 limit = _mm256_set1_ps(threshold);
  const int64_t full = n / kWord;
  int64_t total = 0;
  for (int64_t k = 0; k < full; ++k) {
    uint64_t word = 0;
    __m256 partial = _mm256_setzero_ps();
    for (int i = 0; i < 8; ++i, values += 8) {
      const __m256 value = _mm256_loadu_ps(values);
      const __m256 inside = _mm256_cmp_ps(value, limit, _CMP_GT_OQ);
      word |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_ps(inside))) << (8 * i);
      partial = _mm256_add_ps(partial, _mm256_and_ps(value, inside));
    }
    words[k] = word;
    if (word) {
      *sum += sum_of(partial);
      total += _mm_popcnt_u64(word);
    }
  }
  return total + kPortableKernels.pack_floats(values, n % kWord, threshold, words + full, sum);
}

SOLO_D2_AVX2 int64_t count(const uint64_t* words, int64_t n) {
  int64_t total = 0;
  for (int64_t k = 0; k < n; ++k) {
    total += _mm_popcnt_u64(words[k]);
  }
  return total;
}

// Set bits of every byte.
SOLO_D2_AVX2 inline __m256i byte_counts(__m256i x) {
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                         0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i nibble = _mm256_set1_epi8(0x0f);
  const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble));
  const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble));
  return _mm256_add_epi8(low, high);
}

SOLO_D2_AVX2 int64_t sum_of_words(__m256i x) {
  alignas(32) int64_t lanes[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), x);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

SOLO_D2_AVX2 void intersections(const uint64_t* const* a, const uint64_t* const* b, int64_t n, int64_t* out) {
  constexpr int64_t kMaxRound = 31;  // vectors until a byte's count, 8 per vector, could overflow
  std::fill(out, out + kTile * kTile, 0);
  const int64_t vectors = n / kLanes;
  for (int64_t start = 0; start < vectors; start += kMaxRound) {
    const int64_t end = std::min(start + kMaxRound, vectors);
    for (int i = 0; i < kTile; ++i) {
      __m256i bytes[kTile];
      std::fill(bytes, bytes + kTile, _mm256_setzero_si256());
      for (int64_t k = start; k < end; ++k) {
        const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a[i] + k * kLanes));
        for (int j = 0; j < kTile; ++j) {
          const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b[j] + k * kLanes));
          bytes[j] = _mm256_add_epi8(bytes[j], byte_counts(_mm256_and_si256(x, y)));
        }
      }
      for (int j = 0; j < kTile; ++j) {
        out[i * kTile + j] += sum_of_words(_mm256_sad_epu8(bytes[j], _mm256_setzero_si256()));
      }
    }
  }
  for (int64_t k = vectors * kLanes; k < n; ++k) {
    for (int i = 0; i < kTile; ++i) {
      for (int j = 0; j < kTile; ++j) {
        out[i * kTile + j] += _mm_popcnt_u64(a[i][k] & b[j][k]);
      }
    }
  }
}

}  // namespace

const BitKernels kAvx2Kernels{"AVX2", pack_bytes, pack_floats, count, intersections};

}  // namespace solo_d2
#endif
