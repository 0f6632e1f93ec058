// Bilinear interpolation of rows for one CPU instruction set. No torch headers.
#pragma once

#include <cstdint>

#include "bit_kernels.h"

namespace solo_d2 {

struct RowKernels {
  bool fused;  // whether a * b + c is rounded once
  // out[k] = low_weight[k] * row[low[k]] + high_weight[k] * row[high[k]] for k in [0, n).
  void (*stretch)(const float* row, const int32_t* low, const int32_t* high, const float* low_weight,
                  const float* high_weight, int64_t n, float* out);
  // out[k] = low_weight * low[k] + high_weight * high[k] for k in [0, n).
  void (*blend)(const float* low, const float* high, float low_weight, float high_weight, int64_t n, float* out);
  // The same, but whether the results are > threshold, as the bits of words[0 .. ceil(n / 64)), the rest 0.
  void (*blend_bits)(const float* low, const float* high, float low_weight, float high_weight, float threshold,
                     int64_t n, uint64_t* words);
  // The bits of words[0 .. ceil(n / 64)) as bytes[0 .. n) of 0 and 1.
  void (*unpack)(const uint64_t* words, int64_t n, uint8_t* bytes);
};

extern const RowKernels kPortableRowKernels;
#ifdef SOLO_D2_X86
extern const RowKernels kAvx2RowKernels;    // needs AVX2 and FMA
extern const RowKernels kAvx512RowKernels;  // needs AVX-512 F and BW
#endif

}  // namespace solo_d2
