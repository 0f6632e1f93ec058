// CUDA kernels of solo_d2::restore_masks: soft masks at feature size to binary masks at output size. No torch
// headers, as in kernels.cuh.
#pragma once

#include <cstdint>

#include "../bilinear_math.h"

namespace solo_d2 {

constexpr int kExtentThreads = 256;
constexpr int kRestoreColumns = 64;  // threads of a block side by side
constexpr int kRestoreRows = 4;      // and one below the other
constexpr int kRestoreRowsPerThread = 16;
constexpr int kBlockHeight = kRestoreRows * kRestoreRowsPerThread;
// Of a mask: least x and y, one past the largest x and y, pixels.
constexpr int kMeasures = 5;
constexpr int kNoPixel = 0x7fffffff;

// One dimension of the way from mask to output.
struct Way {
  int mask;    // size of the soft masks
  int stride;  // network-input pixels per mask pixel
  int image;   // size of the network input without padding
  int output;
  bool aligned;

  __device__ Tap upsampling(int i) const {
    return aligned ? aligned_tap(i, mask, stride) : half_pixel_tap(i, mask, mask * stride, true);
  }
  __device__ Tap resizing(int i) const { return half_pixel_tap(i, image, output, true); }
  // Mask positions that output i depends on.
  __device__ int first(int i) const { return upsampling(resizing(i).low).low; }
  __device__ int last(int i) const { return upsampling(resizing(i).high).high; }

  // The first output whose last (if `by_last`, else first) position is at least `position`: `output` if none is.
  __device__ int first_output(int position, bool by_last) const {
    int begin = 0;
    int end = output;
    while (begin < end) {
      const int middle = begin + (end - begin) / 2;
      if ((by_last ? last(middle) : first(middle)) >= position) {
        end = middle;
      } else {
        begin = middle + 1;
      }
    }
    return begin;
  }
};

// One block per mask: the outputs that may have pixels, frames (N, 4) as x0, y0, x1, y1; starts measures (N, 5).
template <typename T>
__global__ void __launch_bounds__(kExtentThreads) extent_kernel(
    const T* __restrict__ masks, Way y, Way x, float threshold, int* __restrict__ frames, int* __restrict__ measures) {
  __shared__ int bounds[4];
  if (threadIdx.x < 4) {
    bounds[threadIdx.x] = threadIdx.x < 2 ? kNoPixel : -1;
  }
  __syncthreads();
  const int64_t pixels = static_cast<int64_t>(y.mask) * x.mask;
  const T* mask = masks + blockIdx.x * pixels;
  int least_x = kNoPixel, least_y = kNoPixel, most_x = -1, most_y = -1;
  for (int64_t pixel = threadIdx.x; pixel < pixels; pixel += kExtentThreads) {
    if (static_cast<float>(mask[pixel]) > threshold) {
      const int row = static_cast<int>(pixel / x.mask);
      const int column = static_cast<int>(pixel % x.mask);
      least_x = column < least_x ? column : least_x;
      most_x = column > most_x ? column : most_x;
      least_y = row < least_y ? row : least_y;
      most_y = row > most_y ? row : most_y;
    }
  }
  if (most_x >= 0) {
    atomicMin(&bounds[0], least_x);
    atomicMin(&bounds[1], least_y);
    atomicMax(&bounds[2], most_x);
    atomicMax(&bounds[3], most_y);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    int* frame = frames + 4 * static_cast<int64_t>(blockIdx.x);
    const bool found = bounds[2] >= 0;
    frame[0] = found ? x.first_output(bounds[0], true) : 0;
    frame[1] = found ? y.first_output(bounds[1], true) : 0;
    frame[2] = found ? x.first_output(bounds[2] + 1, false) : 0;
    frame[3] = found ? y.first_output(bounds[3] + 1, false) : 0;
    int* measure = measures + kMeasures * static_cast<int64_t>(blockIdx.x);
    for (int k = 0; k < kMeasures; ++k) {
      measure[k] = k < 2 ? kNoPixel : 0;
    }
  }
}

// A row of the mask at two neighboring network-input columns, blended for the output column.
template <typename T>
__device__ float image_value(const T* mask, int width, const Tap& row, const Tap& column) {
  const T* low = mask + static_cast<int64_t>(row.low) * width;
  const T* high = mask + static_cast<int64_t>(row.high) * width;
  const float above = interpolate(static_cast<float>(low[column.low]), static_cast<float>(low[column.high]), column, true);
  const float below =
      interpolate(static_cast<float>(high[column.low]), static_cast<float>(high[column.high]), column, true);
  return interpolate(above, below, row, true);
}

// One thread per column and kRestoreRowsPerThread rows; block (x, y, z): columns, rows, every gridDim.z-th mask.
// Writes all of restored (N, H, W) and gathers measures (N, 5).
template <typename T>
__global__ void __launch_bounds__(kRestoreColumns * kRestoreRows) restore_kernel(
    const T* __restrict__ masks,
    int count,
    Way y,
    Way x,
    float threshold,
    const int* __restrict__ frames,
    uint8_t* __restrict__ restored,
    int* __restrict__ measures) {
  __shared__ int of_block[kMeasures];
  const int rank = threadIdx.x + threadIdx.y * kRestoreColumns;
  const int column = blockIdx.x * kRestoreColumns + threadIdx.x;
  const int first_row = blockIdx.y * kBlockHeight + threadIdx.y;
  const bool exists = column < x.output;
  const Tap across = exists ? x.resizing(column) : Tap{};
  const Tap left = exists ? x.upsampling(across.low) : Tap{};
  const Tap right = exists ? x.upsampling(across.high) : Tap{};
  for (int index = blockIdx.z; index < count; index += gridDim.z) {
    if (rank < kMeasures) {
      of_block[rank] = rank < 2 ? kNoPixel : 0;
    }
    __syncthreads();
    const int* frame = frames + 4 * static_cast<int64_t>(index);
    const T* mask = masks + static_cast<int64_t>(index) * y.mask * x.mask;
    uint8_t* out = restored + static_cast<int64_t>(index) * y.output * x.output;
    const bool reached = exists && column >= frame[0] && column < frame[2];
    int pixels = 0, least = kNoPixel, most = -1;
    for (int step = 0; exists && step < kRestoreRowsPerThread; ++step) {
      const int row = first_row + step * kRestoreRows;
      if (row >= y.output) {
        break;
      }
      bool inside = false;
      if (reached && row >= frame[1] && row < frame[3]) {
        const Tap down = y.resizing(row);
        const Tap top = y.upsampling(down.low);
        const Tap bottom = y.upsampling(down.high);
        const float above = interpolate(
            image_value(mask, x.mask, top, left), image_value(mask, x.mask, top, right), across, true);
        const float below = interpolate(
            image_value(mask, x.mask, bottom, left), image_value(mask, x.mask, bottom, right), across, true);
        inside = interpolate(above, below, down, true) > threshold;
      }
      out[static_cast<int64_t>(row) * x.output + column] = inside;
      pixels += inside;
      least = inside && row < least ? row : least;
      most = inside ? row : most;
    }
    if (pixels > 0) {
      atomicMin(&of_block[0], column);
      atomicMin(&of_block[1], least);
      atomicMax(&of_block[2], column + 1);
      atomicMax(&of_block[3], most + 1);
      atomicAdd(&of_block[4], pixels);
    }
    __syncthreads();
    if (rank == 0 && of_block[4] > 0) {
      int* measure = measures + kMeasures * static_cast<int64_t>(index);
      atomicMin(&measure[0], of_block[0]);
      atomicMin(&measure[1], of_block[1]);
      atomicMax(&measure[2], of_block[2]);
      atomicMax(&measure[3], of_block[3]);
      atomicAdd(&measure[4], of_block[4]);
    }
    __syncthreads();
  }
}

}  // namespace solo_d2
