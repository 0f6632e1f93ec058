// Positions and weights of bilinear interpolation in one dimension, the same on CPUs and GPUs and the same as
// torch's interpolate. No torch headers.
#pragma once

#include <cmath>
#include <cstdint>

#include "matrix_nms_math.h"

namespace solo_d2 {

// An output is low_weight * input[low] + high_weight * input[high].
struct Tap {
  int low;
  int high;
  float low_weight;
  float high_weight;
};

// Whether a * b + c is rounded once (as compilers do it for CPUs and GPUs that can) or twice. The results differ
// in the last bit, and torch's own differ likewise.
SOLO_HOST_DEVICE inline float multiply_add(float a, float b, float c, bool fused) {
  return fused ? fmaf(a, b, c) : a * b + c;
}

SOLO_HOST_DEVICE inline float interpolate(float low, float high, const Tap& tap, bool fused) {
  return multiply_add(tap.low_weight, low, tap.high_weight * high, fused);
}

SOLO_HOST_DEVICE inline Tap tap_at(float position, int inputs) {
  const int last = inputs - 1;
  const int low = position < static_cast<float>(last) ? static_cast<int>(position) : last;
  float high_weight = position - static_cast<float>(low);
  high_weight = high_weight < 0.0f ? 0.0f : high_weight > 1.0f ? 1.0f : high_weight;
  return {low, low < last ? low + 1 : low, 1.0f - high_weight, high_weight};
}

// Pixel centers at half positions (align_corners=False).
SOLO_HOST_DEVICE inline Tap half_pixel_tap(int output, int inputs, int outputs, bool fused) {
  if (inputs == outputs) {
    return {output, output, 1.0f, 0.0f};
  }
  const float scale = static_cast<float>(inputs) / static_cast<float>(outputs);
  const float position = multiply_add(scale, static_cast<float>(output) + 0.5f, -0.5f, fused);
  return tap_at(position > 0.0f ? position : 0.0f, inputs);
}

// Input i at output factor * i + factor / 2, borders repeated: solo_d2.layers.aligned_bilinear.
SOLO_HOST_DEVICE inline Tap aligned_tap(int output, int inputs, int factor) {
  if (factor == 1) {
    return {output, output, 1.0f, 0.0f};
  }
  const int shifted = output > factor / 2 ? output - factor / 2 : 0;
  const float scale = static_cast<float>(inputs) / static_cast<float>(inputs * static_cast<int64_t>(factor));
  Tap tap = tap_at(scale * static_cast<float>(shifted), inputs + 1);
  tap.low = tap.low < inputs ? tap.low : inputs - 1;
  tap.high = tap.high < inputs ? tap.high : inputs - 1;
  return tap;
}

// The low-resolution values whose neighborhoods are looked at: no convex combination of values up to this
// threshold comes out above the real one, even with every rounding on the way.
SOLO_HOST_DEVICE inline float cautious(float threshold) {
  return threshold - fabsf(threshold) * (1.0f / (1 << 19));
}

}  // namespace solo_d2
