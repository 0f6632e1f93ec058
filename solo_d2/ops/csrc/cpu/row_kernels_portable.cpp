// Standard C++ for every machine.
#include <algorithm>

#include "row_kernels.h"

// Rounds products and sums one by one, as torch's portable kernels do.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#elif defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

namespace solo_d2 {
namespace {

void stretch(const float* row, const int32_t* low, const int32_t* high, const float* low_weight,
             const float* high_weight, int64_t n, float* out) {
  for (int64_t k = 0; k < n; ++k) {
    out[k] = low_weight[k] * row[low[k]] + high_weight[k] * row[high[k]];
  }
}

void blend(const float* low, const float* high, float low_weight, float high_weight, int64_t n, float* out) {
  for (int64_t k = 0; k < n; ++k) {
    out[k] = low_weight * low[k] + high_weight * high[k];
  }
}

void blend_bits(const float* low, const float* high, float low_weight, float high_weight, float threshold, int64_t n,
                uint64_t* words) {
  for (int64_t start = 0; start < n; start += 64) {
    const int64_t length = std::min<int64_t>(64, n - start);
    uint64_t word = 0;
    for (int64_t bit = 0; bit < length; ++bit) {
      const float value = low_weight * low[start + bit] + high_weight * high[start + bit];
      word |= static_cast<uint64_t>(value > threshold) << bit;
    }
    *words++ = word;
  }
}

void unpack(const uint64_t* words, int64_t n, uint8_t* bytes) {
  for (int64_t k = 0; k < n; ++k) {
    bytes[k] = words[k / 64] >> (k % 64) & 1;
  }
}

}  // namespace

const RowKernels kPortableRowKernels{false, stretch, blend, blend_bits, unpack};

}  // namespace solo_d2
