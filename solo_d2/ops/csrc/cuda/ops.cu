// CUDA kernels of the operators that solo_d2/ops declares: allocation, launch and registration.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>

#include "../checks.h"
#include "kernels.cuh"

namespace solo_d2 {
namespace {

using at::Tensor;

// Blocks per multiprocessor that the words are split for, so that few masks also fill the GPU.
constexpr int64_t kBlocksPerProcessor = 4;

constexpr int64_t kMostBlocks = std::numeric_limits<int>::max();
constexpr int64_t kMostMasks = 1 << 19;
constexpr int64_t kMostPixels = std::numeric_limits<int>::max() / kWordBits * kWordBits;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t processors(int device) {
  int count = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
  return count;
}

template <typename T>
void launch_pack(const Tensor& masks, float threshold, const Tensor& bits, const Tensor& area, const Tensor& soft_sum) {
  pack_kernel<T><<<masks.size(0), kPackThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(
      static_cast<const T*>(masks.const_data_ptr()),
      masks.size(1) * masks.size(2),
      threshold,
      reinterpret_cast<uint32_t*>(bits.mutable_data_ptr<int64_t>()),
      2 * bits.size(1),
      area.mutable_data_ptr<int64_t>(),
      soft_sum.mutable_data_ptr<float>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

std::tuple<Tensor, Tensor, Tensor> pack_masks(const Tensor& masks, double threshold) {
  check_dense_masks(masks, threshold);
  TORCH_CHECK_VALUE(masks.size(0) <= kMostBlocks, "at most 2^31 - 1 masks, not ", masks.size(0));
  const c10::cuda::CUDAGuard guard(masks.device());
  const Tensor dense = (masks.scalar_type() == at::kDouble ? masks.to(at::kFloat) : masks).contiguous();
  const int64_t count = dense.size(0);
  const auto integers = dense.options().dtype(at::kLong);
  const int64_t words = divide_up(dense.size(1) * dense.size(2), kWordBits);
  const Tensor bits = at::empty({count, words}, integers);
  const Tensor area = at::empty({count}, integers);
  const Tensor soft_sum = at::empty({count}, dense.options().dtype(at::kFloat));
  if (count == 0) {
    return {bits, area, soft_sum};
  }
  const auto limit = static_cast<float>(threshold);
  switch (dense.scalar_type()) {
    case at::kBool:
    case at::kByte:
      launch_pack<uint8_t>(dense, limit, bits, area, soft_sum);
      break;
    case at::kFloat:
      launch_pack<float>(dense, limit, bits, area, soft_sum);
      break;
    case at::kHalf:
      launch_pack<at::Half>(dense, limit, bits, area, soft_sum);
      break;
    case at::kBFloat16:
      launch_pack<at::BFloat16>(dense, limit, bits, area, soft_sum);
      break;
    default:
      TORCH_CHECK(false, "pack_masks takes bool, uint8 or floating masks, not ", dense.scalar_type());
  }
  return {bits, area, soft_sum};
}

const int64_t* pointer_or_null(const std::optional<Tensor>& labels) {
  return labels ? labels->const_data_ptr<int64_t>() : nullptr;
}

std::optional<Tensor> widened(const std::optional<Tensor>& labels) {
  return labels ? std::optional<Tensor>(labels->to(at::kLong).contiguous()) : std::nullopt;
}

// Counts are int32 in the kernels, and a grid has fewer than 2^31 blocks.
void check_size(const Tensor& masks) {
  TORCH_CHECK_VALUE(masks.size(0) <= kMostMasks, "mask NMS takes at most ", kMostMasks, " masks, not ", masks.size(0));
  const bool packed = masks.scalar_type() == at::kLong;
  const int64_t pixels = packed ? masks.size(1) * kWordBits : masks.size(1) * masks.size(2);
  TORCH_CHECK_VALUE(pixels <= kMostPixels, "a mask may have at most ", kMostPixels, " pixels, not ", pixels);
}

// Common pixels of i <= j of one class, the areas on the diagonal: (N, N) int32.
Tensor intersections_of(const Tensor& masks, const std::optional<Tensor>& labels, double threshold) {
  const Tensor bits =
      masks.scalar_type() == at::kLong ? masks.contiguous() : std::get<0>(pack_masks(masks, threshold));
  const int64_t count = bits.size(0);
  const int64_t halves = 2 * bits.size(1);
  const Tensor result = at::zeros({count, count}, bits.options().dtype(at::kInt));
  if (halves == 0) {
    return result;
  }
  const int64_t tiles = divide_up(count, kPairTile);
  const int64_t blocks = processors(bits.get_device()) * kBlocksPerProcessor;
  const int64_t wanted_parts = divide_up(blocks, tiles * (tiles + 1) / 2);
  const int64_t parts = std::min(wanted_parts, divide_up(halves, kSlice));
  const int64_t halves_per_part = divide_up(divide_up(halves, parts), kSlice) * kSlice;
  const dim3 grid(tiles, tiles, divide_up(halves, halves_per_part));
  intersection_kernel<<<grid, kPairThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(
      reinterpret_cast<const uint32_t*>(bits.const_data_ptr<int64_t>()),
      pointer_or_null(labels),
      static_cast<int>(count),
      halves,
      halves_per_part,
      result.mutable_data_ptr<int>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return result;
}

Tensor mask_iou(const Tensor& masks, const std::optional<Tensor>& labels, double threshold) {
  check_masks(masks, labels, threshold);
  check_size(masks);
  const c10::cuda::CUDAGuard guard(masks.device());
  const int64_t count = masks.size(0);
  const Tensor iou = at::empty({count, count}, masks.options().dtype(at::kFloat));
  if (count == 0) {
    return iou;
  }
  const auto classes = widened(labels);
  const Tensor intersection = intersections_of(masks, classes, threshold);
  iou_kernel<<<divide_up(count * count, kIouThreads), kIouThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(
      intersection.const_data_ptr<int>(),
      pointer_or_null(classes),
      static_cast<int>(count),
      iou.mutable_data_ptr<float>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return iou;
}

Tensor matrix_nms(
    const Tensor& masks,
    const std::optional<Tensor>& labels,
    const Tensor& scores,
    c10::string_view kernel,
    double sigma,
    double threshold) {
  check_masks(masks, labels, threshold);
  check_size(masks);
  check_scores(scores, masks);
  check_decay(kernel, sigma);
  const c10::cuda::CUDAGuard guard(masks.device());
  const Tensor given = scores.contiguous();
  const Tensor decayed = at::empty_like(given);
  const auto count = static_cast<int>(masks.size(0));
  if (count == 0) {
    return decayed;
  }
  const auto classes = widened(labels);
  const Tensor intersection = intersections_of(masks, classes, threshold);
  const Tensor gap = at::empty({count}, given.options().dtype(at::kDouble));
  const Decay kind = kernel == "gaussian" ? Decay::gaussian : Decay::linear;
  const dim3 threads(kColumnThreads, kColumnThreads);
  const auto blocks = static_cast<unsigned>(divide_up(count, kColumnThreads));
  const auto stream = c10::cuda::getCurrentCUDAStream();
  const int* common = intersection.const_data_ptr<int>();
  gap_kernel<<<blocks, threads, 0, stream>>>(common, pointer_or_null(classes), count, gap.mutable_data_ptr<double>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, given.scalar_type(), "matrix_nms", [&] {
    decay_kernel<scalar_t><<<blocks, threads, 0, stream>>>(
        common,
        pointer_or_null(classes),
        gap.const_data_ptr<double>(),
        given.const_data_ptr<scalar_t>(),
        count,
        kind,
        sigma,
        decayed.mutable_data_ptr<scalar_t>());
  });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return decayed;
}

}  // namespace

TORCH_LIBRARY_IMPL(solo_d2, CUDA, m) {
  m.impl("pack_masks", pack_masks);
  m.impl("mask_iou", mask_iou);
  m.impl("matrix_nms", matrix_nms);
}

}  // namespace solo_d2
