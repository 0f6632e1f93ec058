// solo_d2::restore_masks on CUDA: allocation, launch and registration.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "../checks.h"
#include "restore_kernels.cuh"

namespace solo_d2 {
namespace {

using at::Tensor;

constexpr int64_t kMostBlocksDeep = 65535;

unsigned divide_up(int64_t a, int64_t b) { return static_cast<unsigned>((a + b - 1) / b); }

template <typename T>
void launch(
    const Tensor& masks,
    const Way& y,
    const Way& x,
    float threshold,
    const Tensor& frames,
    const Tensor& restored,
    const Tensor& measures) {
  const auto stream = c10::cuda::getCurrentCUDAStream();
  const auto* values = static_cast<const T*>(masks.const_data_ptr());
  const auto count = static_cast<int>(masks.size(0));
  extent_kernel<T><<<count, kExtentThreads, 0, stream>>>(
      values, y, x, cautious(threshold), frames.mutable_data_ptr<int>(), measures.mutable_data_ptr<int>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  const dim3 grid(
      divide_up(x.output, kRestoreColumns),
      divide_up(y.output, kBlockHeight),
      static_cast<unsigned>(std::min<int64_t>(count, kMostBlocksDeep)));
  restore_kernel<T><<<grid, dim3(kRestoreColumns, kRestoreRows), 0, stream>>>(
      values, count, y, x, threshold, frames.const_data_ptr<int>(), static_cast<uint8_t*>(restored.mutable_data_ptr()),
      measures.mutable_data_ptr<int>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

std::tuple<Tensor, Tensor, Tensor> restore_masks(
    const Tensor& masks,
    double threshold,
    at::IntArrayRef image_size,
    at::IntArrayRef output_size,
    int64_t stride,
    bool aligned) {
  check_restoring(masks, threshold, image_size, output_size, stride);
  constexpr int64_t kMost = std::numeric_limits<int>::max();
  TORCH_CHECK_VALUE(masks.size(0) <= kMost, "at most 2^31 - 1 masks, not ", masks.size(0));
  TORCH_CHECK_VALUE(
      output_size[0] <= std::min(kMost / output_size[1], kMostBlocksDeep * kBlockHeight),
      "a restored mask may have at most 2^31 - 1 pixels and ", kMostBlocksDeep * kBlockHeight, " rows, not ",
      output_size);
  const c10::cuda::CUDAGuard guard(masks.device());
  const Tensor dense = (masks.scalar_type() == at::kDouble ? masks.to(at::kFloat) : masks).contiguous();
  const int64_t count = dense.size(0);
  const auto integers = dense.options().dtype(at::kInt);
  const Tensor restored = at::empty({count, output_size[0], output_size[1]}, dense.options().dtype(at::kBool));
  const Tensor measures = at::empty({count, kMeasures}, integers);
  const Tensor frames = at::empty({count, 4}, integers);
  const auto way = [&](int axis) {
    return Way{
        static_cast<int>(dense.size(axis + 1)), static_cast<int>(stride), static_cast<int>(image_size[axis]),
        static_cast<int>(output_size[axis]), aligned};
  };
  const auto limit = static_cast<float>(threshold);
  if (count > 0) {
    switch (dense.scalar_type()) {
      case at::kHalf:
        launch<at::Half>(dense, way(0), way(1), limit, frames, restored, measures);
        break;
      case at::kBFloat16:
        launch<at::BFloat16>(dense, way(0), way(1), limit, frames, restored, measures);
        break;
      default:
        launch<float>(dense, way(0), way(1), limit, frames, restored, measures);
    }
  }
  const Tensor areas = measures.select(1, 4).to(at::kLong);
  const Tensor boxes = measures.narrow(1, 0, 4).to(at::kFloat) * (areas > 0).unsqueeze(1);
  return {restored, boxes, areas};
}

}  // namespace

TORCH_LIBRARY_IMPL(solo_d2, CUDA, m) { m.impl("restore_masks", restore_masks); }

}  // namespace solo_d2
