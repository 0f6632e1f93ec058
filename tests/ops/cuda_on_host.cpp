// The CUDA kernels, launched as ops.cu does, but on a CPU; for tests/ops/test_cuda_kernels.py.
#include "cuda_on_host.h"

#include "kernels.cuh"
#include "restore_kernels.cuh"

using namespace solo_d2;

namespace {

template <typename T>
void pack(const T* masks, int count, int64_t pixels, float threshold, uint32_t* bits, int64_t* area, float* sum) {
  const int64_t halves = (pixels + kWordBits - 1) / kWordBits * 2;
  launch({static_cast<unsigned>(count)}, {kPackThreads}, [&] {
    pack_kernel<T>(masks, pixels, threshold, bits, halves, area, sum);
  });
}

unsigned divide_up(unsigned a, unsigned b) { return (a + b - 1) / b; }

}  // namespace

extern "C" {

void pack_float(const float* m, int n, int64_t pixels, float threshold, uint32_t* bits, int64_t* area, float* sum) {
  pack(m, n, pixels, threshold, bits, area, sum);
}

void pack_uint8(const uint8_t* m, int n, int64_t pixels, float threshold, uint32_t* bits, int64_t* area, float* sum) {
  pack(m, n, pixels, threshold, bits, area, sum);
}

// parts: into how many pieces the words are split.
void intersections(const uint32_t* bits, const int64_t* labels, int n, int64_t halves, int parts, int* out) {
  const unsigned tiles = divide_up(n, kPairTile);
  const int64_t per_part = divide_up(divide_up(halves, parts), kSlice) * kSlice;
  launch({tiles, tiles, divide_up(halves, per_part)}, {kPairThreads}, [&] {
    intersection_kernel(bits, labels, n, halves, per_part, out);
  });
}

void iou(const int* intersection, const int64_t* labels, int n, float* out) {
  launch({divide_up(n * n, kIouThreads)}, {kIouThreads}, [&] { iou_kernel(intersection, labels, n, out); });
}

void decay(const int* intersection, const int64_t* labels, const float* scores, int n, int linear, double sigma,
           float* out) {
  std::vector<double> gap(n);
  const dim3 threads{kColumnThreads, kColumnThreads};
  const dim3 grid{divide_up(n, kColumnThreads)};
  launch(grid, threads, [&] { gap_kernel(intersection, labels, n, gap.data()); });
  launch(grid, threads, [&] {
    decay_kernel<float>(intersection, labels, gap.data(), scores, n, linear ? Decay::linear : Decay::gaussian, sigma, out);
  });
}

// sizes: of mask, image and output, each height and width; deep: blocks over the masks.
void restore(const float* masks, int n, const int* sizes, int stride, int aligned, float threshold, int deep,
             uint8_t* restored, int* measures) {
  const Way y{sizes[0], stride, sizes[2], sizes[4], aligned != 0};
  const Way x{sizes[1], stride, sizes[3], sizes[5], aligned != 0};
  std::vector<int> frames(4 * n);
  launch({static_cast<unsigned>(n)}, {kExtentThreads}, [&] {
    extent_kernel<float>(masks, y, x, cautious(threshold), frames.data(), measures);
  });
  const dim3 grid{divide_up(x.output, kRestoreColumns), divide_up(y.output, kBlockHeight), static_cast<unsigned>(deep)};
  launch(grid, {kRestoreColumns, kRestoreRows}, [&] {
    restore_kernel<float>(masks, n, y, x, threshold, frames.data(), restored, measures);
  });
}

}  // extern "C"
