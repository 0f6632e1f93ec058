// CUDA kernels of Matrix NMS. No torch headers: nvcc compiles this file alone, and the tests run the same
// code on a CPU with stand-ins for the CUDA built-ins.
//
// N: masks; words: 64-bit words per mask; bits are read as 32-bit halves here, `halves` = 2 * words.
#pragma once

#include <cstdint>

#include "../matrix_nms_math.h"

namespace solo_d2 {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// --- packing -----------------------------------------------------------------------------------------

constexpr int kPackThreads = 512;
constexpr int kPackWarps = kPackThreads / kWarp;
// Pixels a warp packs at once: each lane keeps one of 32 ballots, so that the store is one full line.
constexpr int kPackPixels = kWarp * kWarp;
// Loads that are on their way at once in every thread.
constexpr int kPackLoads = 8;

template <typename T>
struct Pixel {
  static __device__ bool inside(T value, float threshold) { return static_cast<float>(value) > threshold; }
  static __device__ float weight(T value) { return static_cast<float>(value); }
};

template <>
struct Pixel<uint8_t> {
  static __device__ bool inside(uint8_t value, float) { return value != 0; }
  static __device__ float weight(uint8_t) { return 1.0f; }
};

template <typename T>
__device__ T warp_sum(T value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    value += __shfl_down_sync(kAllLanes, value, offset);
  }
  return value;
}

// Sums over the block; the result is valid in thread 0.
template <typename T>
__device__ T block_sum(T value, T* shared) {
  value = warp_sum(value);
  if (threadIdx.x % kWarp == 0) {
    shared[threadIdx.x / kWarp] = value;
  }
  __syncthreads();
  T total = 0;
  if (threadIdx.x == 0) {
    for (int warp = 0; warp < kPackWarps; ++warp) {
      total += shared[warp];
    }
  }
  return total;
}

// One block per mask: pixels (N, pixels) -> bits, area and the sum of the values inside, in one pass. A fixed
// order of additions makes the sum the same in every run.
template <typename T>
__global__ void __launch_bounds__(kPackThreads) pack_kernel(
    const T* __restrict__ masks,
    int64_t pixels,
    float threshold,
    uint32_t* __restrict__ bits,
    int64_t halves,
    int64_t* __restrict__ area,
    float* __restrict__ soft_sum) {
  __shared__ int64_t area_of_warp[kPackWarps];
  __shared__ double sum_of_warp[kPackWarps];
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const T* mask = masks + static_cast<int64_t>(blockIdx.x) * pixels;
  uint32_t* row = bits + static_cast<int64_t>(blockIdx.x) * halves;
  int64_t count = 0;
  double sum = 0;
  for (int64_t start = static_cast<int64_t>(warp) * kPackPixels; start < halves * kWarp;
       start += static_cast<int64_t>(kPackWarps) * kPackPixels) {
    uint32_t kept = 0;
#pragma unroll
    for (int first = 0; first < kWarp; first += kPackLoads) {
      T values[kPackLoads];
      float partial = 0;  // of a few pixels only: doubles are slow on most GPUs, one addition for all of them is not
#pragma unroll
      for (int step = 0; step < kPackLoads; ++step) {
        const int64_t pixel = start + (first + step) * kWarp + lane;
        values[step] = pixel < pixels ? mask[pixel] : T(0);
      }
#pragma unroll
      for (int step = 0; step < kPackLoads; ++step) {
        const int64_t pixel = start + (first + step) * kWarp + lane;
        const bool inside = pixel < pixels && Pixel<T>::inside(values[step], threshold);
        const uint32_t ballot = __ballot_sync(kAllLanes, inside);
        kept = lane == first + step ? ballot : kept;
        partial += inside ? Pixel<T>::weight(values[step]) : 0.0f;
      }
      sum += partial;
    }
    const int64_t half = start / kWarp + lane;
    if (half < halves) {
      row[half] = kept;
    }
    count += __popc(kept);
  }
  const int64_t total = block_sum<int64_t>(count, area_of_warp);
  const double soft_total = block_sum<double>(sum, sum_of_warp);
  if (threadIdx.x == 0) {
    area[blockIdx.x] = total;
    soft_sum[blockIdx.x] = static_cast<float>(soft_total);
  }
}

// --- intersections -----------------------------------------------------------------------------------

constexpr int kPairSide = 16;                        // threads per side of a block
constexpr int kPairsPerThread = 4;                   // per side
constexpr int kPairTile = kPairSide * kPairsPerThread;  // masks per side of a block
constexpr int kPairThreads = kPairSide * kPairSide;
constexpr int kSlice = 32;                           // halves of each mask in shared memory at once
constexpr int kSlicePitch = kSlice + 4;              // keeps 16-byte loads of 8 rows in 32 different banks

// Carry-save adder: three bit vectors to sum and carry, two logic instructions.
struct CarrySave {
  uint32_t sum;
  uint32_t carry;
};

__device__ inline CarrySave carry_save(uint32_t a, uint32_t b, uint32_t c) {
  return {a ^ b ^ c, (a & b) | (c & (a ^ b))};
}

// Harley-Seal counter: population counts are four times scarcer than logic on a GPU, so that four words are
// first added as bit vectors and only their fours are counted at once.
struct BitCounter {
  uint32_t ones;
  uint32_t twos;
  int fours;

  __device__ void add(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    const CarrySave first = carry_save(ones, a, b);
    const CarrySave second = carry_save(first.sum, c, d);
    const CarrySave third = carry_save(twos, first.carry, second.carry);
    ones = second.sum;
    twos = third.sum;
    fours += __popc(third.carry);
  }

  __device__ int total() const { return 4 * fours + 2 * __popc(twos) + __popc(ones); }
};

// Copies kSlice halves of kPairTile masks from `first` on to shared memory, zeros beyond the ends.
__device__ inline void load_slice(
    const uint32_t* bits, int count, int64_t halves, int first, int64_t start, int64_t end, uint32_t* slice) {
  for (int index = threadIdx.x; index < kPairTile * kSlice; index += kPairThreads) {
    const int row = index / kSlice;
    const int64_t half = start + index % kSlice;
    const bool there = first + row < count && half < end;
    slice[row * kSlicePitch + index % kSlice] = there ? bits[static_cast<int64_t>(first + row) * halves + half] : 0;
  }
}

// Whether this thread has a pair i <= j of one class. labels may be null: one class.
__device__ inline bool has_pair(const int64_t* labels, int count, int first_row, int first_column) {
  bool found = false;
  for (int s = 0; s < kPairsPerThread; ++s) {
    for (int t = 0; t < kPairsPerThread; ++t) {
      const int i = first_row + s * kPairSide;
      const int j = first_column + t * kPairSide;
      found |= i <= j && j < count && (labels == nullptr || labels[i] == labels[j]);
    }
  }
  return found;
}

// Adds to intersection[i * N + j], zero before, the common pixels of masks i <= j of one class; the diagonal
// becomes the areas. Block (x, y, z): columns, rows, and the z-th part of the words.
__global__ void __launch_bounds__(kPairThreads) intersection_kernel(
    const uint32_t* __restrict__ bits,
    const int64_t* __restrict__ labels,
    int count,
    int64_t halves,
    int64_t halves_per_part,
    int* __restrict__ intersection) {
  __shared__ __align__(16) uint32_t row_slice[kPairTile * kSlicePitch];
  __shared__ __align__(16) uint32_t column_slice[kPairTile * kSlicePitch];
  if (blockIdx.y > blockIdx.x) {
    return;
  }
  const int thread_row = threadIdx.x / kPairSide;
  const int thread_column = threadIdx.x % kPairSide;
  const int tile_row = blockIdx.y * kPairTile;
  const int tile_column = blockIdx.x * kPairTile;
  const bool works = has_pair(labels, count, tile_row + thread_row, tile_column + thread_column);
  if (!__syncthreads_or(works)) {
    return;
  }
  BitCounter counters[kPairsPerThread][kPairsPerThread] = {};
  const int64_t begin = blockIdx.z * halves_per_part;
  const int64_t end = begin + halves_per_part < halves ? begin + halves_per_part : halves;
  for (int64_t start = begin; start < end; start += kSlice) {
    load_slice(bits, count, halves, tile_row, start, end, row_slice);
    load_slice(bits, count, halves, tile_column, start, end, column_slice);
    __syncthreads();
    for (int k = 0; works && k < kSlice; k += 4) {
      uint4 columns[kPairsPerThread];
#pragma unroll
      for (int t = 0; t < kPairsPerThread; ++t) {
        const int at = (thread_column + t * kPairSide) * kSlicePitch + k;
        columns[t] = *reinterpret_cast<const uint4*>(&column_slice[at]);
      }
#pragma unroll
      for (int s = 0; s < kPairsPerThread; ++s) {
        const int at = (thread_row + s * kPairSide) * kSlicePitch + k;
        const uint4 row = *reinterpret_cast<const uint4*>(&row_slice[at]);
#pragma unroll
        for (int t = 0; t < kPairsPerThread; ++t) {
          counters[s][t].add(
              row.x & columns[t].x, row.y & columns[t].y, row.z & columns[t].z, row.w & columns[t].w);
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int s = 0; s < kPairsPerThread; ++s) {
#pragma unroll
    for (int t = 0; t < kPairsPerThread; ++t) {
      const int i = tile_row + thread_row + s * kPairSide;
      const int j = tile_column + thread_column + t * kPairSide;
      if (works && i <= j && j < count && (labels == nullptr || labels[i] == labels[j])) {
        atomicAdd(&intersection[static_cast<int64_t>(i) * count + j], counters[s][t].total());
      }
    }
  }
}

// --- decay -------------------------------------------------------------------------------------------

constexpr int kColumnThreads = 32;  // columns of a block, and threads per column
constexpr int kIouThreads = 256;

// Distance of masks i < j of one class, from the intersections with the areas on the diagonal.
__device__ inline double distance_of(const int* intersection, const int64_t* labels, int count, int i, int j) {
  if (labels != nullptr && labels[i] != labels[j]) {
    return 1.0;
  }
  const int64_t n = count;
  return jaccard_distance(intersection[i * n + j], intersection[i * n + i], intersection[j * n + j]);
}

// Writes the IoU of i < j, 0 elsewhere: (N, N) float. Grid: one thread per entry.
__global__ void __launch_bounds__(kIouThreads) iou_kernel(
    const int* intersection, const int64_t* labels, int count, float* iou) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= static_cast<int64_t>(count) * count) {
    return;
  }
  const int i = static_cast<int>(index / count);
  const int j = static_cast<int>(index % count);
  iou[index] = i < j ? static_cast<float>(1 - distance_of(intersection, labels, count, i, j)) : 0.0f;
}

// gap[j]: distance of mask j to its closest better one. Block: kColumnThreads columns, threads (x, y).
__global__ void __launch_bounds__(kColumnThreads * kColumnThreads) gap_kernel(
    const int* intersection, const int64_t* labels, int count, double* gap) {
  __shared__ double closest[kColumnThreads][kColumnThreads + 1];
  const int j = blockIdx.x * kColumnThreads + threadIdx.x;
  double least = 1.0;
  for (int i = threadIdx.y; i < j && j < count; i += kColumnThreads) {
    const double distance = distance_of(intersection, labels, count, i, j);
    least = distance < least ? distance : least;
  }
  closest[threadIdx.y][threadIdx.x] = least;
  __syncthreads();
  if (threadIdx.y == 0 && j < count) {
    for (int y = 1; y < kColumnThreads; ++y) {
      least = closest[y][threadIdx.x] < least ? closest[y][threadIdx.x] : least;
    }
    gap[j] = least;
  }
}

// Decays the scores. Blocks as in gap_kernel.
template <typename T>
__global__ void __launch_bounds__(kColumnThreads * kColumnThreads) decay_kernel(
    const int* intersection,
    const int64_t* labels,
    const double* gap,
    const T* scores,
    int count,
    Decay kind,
    double sigma,
    T* decayed) {
  __shared__ double suppressions[kColumnThreads][kColumnThreads + 1];
  const int j = blockIdx.x * kColumnThreads + threadIdx.x;
  double strongest = no_suppression(kind);
  for (int i = threadIdx.y; i < j && j < count; i += kColumnThreads) {
    const double found = suppression(kind, distance_of(intersection, labels, count, i, j), gap[i]);
    strongest = found > strongest ? found : strongest;
  }
  suppressions[threadIdx.y][threadIdx.x] = strongest;
  __syncthreads();
  if (threadIdx.y == 0 && j < count) {
    for (int y = 1; y < kColumnThreads; ++y) {
      const double found = suppressions[y][threadIdx.x];
      strongest = found > strongest ? found : strongest;
    }
    const double factor = decay_factor(kind, strongest, sigma);
    decayed[j] = static_cast<T>(static_cast<double>(scores[j]) * factor);
  }
}

}  // namespace solo_d2
