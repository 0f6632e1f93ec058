// The arithmetic of Matrix NMS (SOLOv2 paper, section 2.2), the same on CPUs and GPUs. No torch headers.
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define SOLO_HOST_DEVICE __host__ __device__
#else
#define SOLO_HOST_DEVICE
#endif

namespace solo_d2 {

constexpr int kWordBits = 64;

enum class Decay { gaussian, linear };

// 1 - IoU, without the cancellation of 1 - i / u; 1 if the union is empty.
SOLO_HOST_DEVICE inline double jaccard_distance(int64_t intersection, int64_t area_a, int64_t area_b) {
  const int64_t join = area_a + area_b - intersection;
  return join > 0 ? static_cast<double>(join - intersection) / static_cast<double>(join) : 1.0;
}

// How strongly mask i suppresses mask j: the larger, the stronger. It grows as the decay falls, so only the
// maximum of a column must be turned into a decay.
//   distance: jaccard_distance(i, j); gap: the distance of i to its own closest better mask.
SOLO_HOST_DEVICE inline double suppression(Decay kind, double distance, double gap) {
  if (kind == Decay::gaussian) {
    return (1 - distance) * (1 - distance) - (1 - gap) * (1 - gap);
  }
  // 0 / 0: identical to a fully suppressed mask, so suppressed, too. x / 0: no suppression.
  return distance == 0 ? 0.0 : -distance / gap;
}

// The suppression of a mask that no better one touches.
SOLO_HOST_DEVICE inline double no_suppression(Decay kind) { return kind == Decay::gaussian ? 0.0 : -1.0; }

// The factor on the score, from the strongest suppression (at least no_suppression).
SOLO_HOST_DEVICE inline double decay_factor(Decay kind, double strongest, double sigma) {
  return kind == Decay::gaussian ? exp(-sigma * strongest) : -strongest;
}

}  // namespace solo_d2
