// Standard C++ for every machine.
#include <algorithm>

#include "bit_kernels.h"

namespace solo_d2 {
namespace {

constexpr int64_t kWord = 64;

inline int64_t popcount(uint64_t x) {
#ifdef __GNUC__
  return __builtin_popcountll(x);
#else
  x -= (x >> 1) & 0x5555555555555555ULL;
  x = (x & 0x3333333333333333ULL) + ((x >> 2) & 0x3333333333333333ULL);
  x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0FULL;
  return static_cast<int64_t>((x * 0x0101010101010101ULL) >> 56);
#endif
}

int64_t pack_bytes(const uint8_t* bytes, int64_t n, uint64_t* words) {
  int64_t total = 0;
  for (int64_t start = 0; start < n; start += kWord) {
    const int64_t length = std::min(kWord, n - start);
    uint64_t word = 0;
    for (int64_t bit = 0; bit < length; ++bit) {
      word |= static_cast<uint64_t>(bytes[start + bit] != 0) << bit;
    }
    *words++ = word;
    total += popcount(word);
  }
  return total;
}

int64_t pack_floats(const float* values, int64_t n, float threshold, uint64_t* words, double* sum) {
  int64_t total = 0;
  for (int64_t start = 0; start < n; start += kWord) {
    const int64_t length = std::min(kWord, n - start);
    uint64_t word = 0;
    float partial = 0;
    for (int64_t bit = 0; bit < length; ++bit) {
      const float value = values[start + bit];
      const bool inside = value > threshold;
      word |= static_cast<uint64_t>(inside) << bit;
      partial += inside ? value : 0.0f;
    }
    *words++ = word;
    *sum += partial;
    total += popcount(word);
  }
  return total;
}

int64_t count(const uint64_t* words, int64_t n) {
  int64_t total = 0;
  for (int64_t k = 0; k < n; ++k) {
    total += popcount(words[k]);
  }
  return total;
}

void intersections(const uint64_t* const* a, const uint64_t* const* b, int64_t n, int64_t* out) {
  std::fill(out, out + kTile * kTile, 0);
  for (int64_t k = 0; k < n; ++k) {
    for (int i = 0; i < kTile; ++i) {
      for (int j = 0; j < kTile; ++j) {
        out[i * kTile + j] += popcount(a[i][k] & b[j][k]);
      }
    }
  }
}

}  // namespace

const BitKernels kPortableKernels{"portable", pack_bytes, pack_floats, count, intersections};

}  // namespace solo_d2
