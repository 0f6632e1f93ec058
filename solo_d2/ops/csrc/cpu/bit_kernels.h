// Bit packing and population counts for one CPU instruction set; the best one is chosen when first used.
// No torch headers.
#pragma once

#include <cstdint>

namespace solo_d2 {

// Rows and columns of the tile of pairs that `intersections` counts at once.
constexpr int kTile = 4;

struct BitKernels {
  const char* name;
  // bytes[0 .. n) != 0 -> bits of words[0 .. ceil(n / 64)), the rest of the last word 0. Returns the count.
  int64_t (*pack_bytes)(const uint8_t* bytes, int64_t n, uint64_t* words);
  // values[0 .. n) > threshold -> bits, as above; adds the sum of those values to *sum. Returns the count.
  int64_t (*pack_floats)(const float* values, int64_t n, float threshold, uint64_t* words, double* sum);
  // Set bits of words[0 .. n).
  int64_t (*count)(const uint64_t* words, int64_t n);
  // Common bits of every pair of rows: out[i * kTile + j] of a[i] and b[j], each of n words.
  void (*intersections)(const uint64_t* const* a, const uint64_t* const* b, int64_t n, int64_t* out);
};

// Position of the lowest set bit; there must be one.
inline int64_t lowest_bit(uint64_t word) {
#ifdef __GNUC__
  return __builtin_ctzll(word);
#else
  int64_t bit = 0;
  while (!(word >> bit & 1)) {
    ++bit;
  }
  return bit;
#endif
}

// Position of the first set bit of words[0 .. n) and one past the last; 64 * n and 0 where none is set.
inline int64_t first_bit(const uint64_t* words, int64_t n) {
  for (int64_t k = 0; k < n; ++k) {
    if (words[k] != 0) {
      return 64 * k + lowest_bit(words[k]);
    }
  }
  return 64 * n;
}

inline int64_t end_bit(const uint64_t* words, int64_t n) {
  while (n > 0 && words[n - 1] == 0) {
    --n;
  }
  int64_t unset = 0;
  while (n > 0 && !(words[n - 1] << unset >> 63)) {
    ++unset;
  }
  return 64 * n - unset;
}

extern const BitKernels kPortableKernels;
#if defined(__x86_64__) && defined(__GNUC__)
#define SOLO_D2_X86 1
extern const BitKernels kAvx2Kernels;    // needs AVX2 and POPCNT
extern const BitKernels kAvx512Kernels;  // needs AVX-512 F, BW and VPOPCNTDQ
#endif

}  // namespace solo_d2
