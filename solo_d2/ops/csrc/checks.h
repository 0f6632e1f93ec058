// What the kernels refuse before they touch memory: the operators can be called without their Python wrappers.
// The same rules as solo_d2/ops/checks.py.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <optional>

namespace solo_d2 {

inline bool is_float(const at::Tensor& tensor) {
  const auto type = tensor.scalar_type();
  return type == at::kFloat || type == at::kHalf || type == at::kBFloat16 || type == at::kDouble;
}

inline bool is_maskable(const at::Tensor& tensor) {
  return is_float(tensor) || tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte;
}

inline void check_same_device(const at::Tensor& tensor, const char* name, const at::Tensor& masks) {
  TORCH_CHECK_VALUE(
      tensor.device() == masks.device(), name, " are on ", tensor.device(), ", masks on ", masks.device(),
      ": move them together");
}

inline void check_threshold(double threshold) {
  TORCH_CHECK_VALUE(!std::isnan(threshold), "threshold must be a number, not NaN");
}

inline void check_dense_masks(const at::Tensor& masks, double threshold) {
  TORCH_CHECK_VALUE(masks.dim() == 3, "masks must be (N, H, W), not ", masks.sizes());
  TORCH_CHECK_VALUE(is_maskable(masks), "masks must be bool, uint8 or floating, not ", masks.scalar_type());
  check_threshold(threshold);
}

inline void check_masks(const at::Tensor& masks, const std::optional<at::Tensor>& labels, double threshold) {
  const bool packed = masks.scalar_type() == at::kLong;
  TORCH_CHECK_VALUE(
      (packed || is_maskable(masks)) && masks.dim() == (packed ? 2 : 3),
      "masks must be dense, (N, H, W) bool, uint8 or floating, or the (N, W) int64 bits of pack_masks, not ",
      masks.sizes(), " ", masks.scalar_type());
  check_threshold(threshold);
  if (labels) {
    TORCH_CHECK_VALUE(
        labels->dim() == 1 && labels->size(0) == masks.size(0),
        "labels must be (", masks.size(0), ",) like the masks, not ", labels->sizes());
    TORCH_CHECK_VALUE(
        labels->scalar_type() == at::kInt || labels->scalar_type() == at::kLong,
        "labels must be int32 or int64, not ", labels->scalar_type());
    check_same_device(*labels, "labels", masks);
  }
}

inline void check_scores(const at::Tensor& scores, const at::Tensor& masks) {
  TORCH_CHECK_VALUE(
      scores.dim() == 1 && scores.size(0) == masks.size(0) && is_float(scores),
      "scores must be (", masks.size(0), ",) like the masks and floating, not ", scores.sizes(), " ",
      scores.scalar_type());
  check_same_device(scores, "scores", masks);
}

// image_size and output_size: height and width.
inline void check_restoring(
    const at::Tensor& masks,
    double threshold,
    at::IntArrayRef image_size,
    at::IntArrayRef output_size,
    int64_t stride) {
  constexpr int64_t kLargestSide = 1 << 24;  // float32 counts pixels exactly up to here
  TORCH_CHECK_VALUE(
      masks.dim() == 3 && is_float(masks), "masks must be (N, h, w) and floating, not ", masks.sizes(), " ",
      masks.scalar_type());
  check_threshold(threshold);
  TORCH_CHECK_VALUE(stride >= 1, "stride must be at least 1, not ", stride);
  TORCH_CHECK_VALUE(
      image_size.size() == 2 && output_size.size() == 2, "image_size and output_size must be (height, width)");
  for (int axis = 0; axis < 2; ++axis) {
    const int64_t covered = masks.size(axis + 1) <= kLargestSide / stride ? masks.size(axis + 1) * stride : -1;
    TORCH_CHECK_VALUE(
        image_size[axis] >= 1 && image_size[axis] <= covered, "image_size must be within 1 and the ",
        "masks' size times stride, at most 2^24, not ", image_size, " for masks of ", masks.sizes(), " and stride ",
        stride);
    TORCH_CHECK_VALUE(
        output_size[axis] >= 1 && output_size[axis] <= kLargestSide, "output_size must be within 1 and 2^24, not ",
        output_size);
  }
}

inline void check_frame(int64_t height, int64_t width) {
  constexpr int64_t kMostPixels = 0xffffffff;  // COCO's runs are 32-bit
  TORCH_CHECK_VALUE(
      height >= 0 && width >= 0 && (width == 0 || height <= kMostPixels / width),
      "COCO's RLE takes masks of at most 2^32 - 1 pixels, not ", height, " x ", width);
}

inline void check_boxes(const at::Tensor& boxes, const char* name, int64_t count) {
  TORCH_CHECK_VALUE(
      boxes.dim() == 2 && boxes.size(0) == count && boxes.size(1) == 4 && boxes.scalar_type() == at::kLong &&
          boxes.is_cpu(),
      name, " must be (", count, ", 4) int64 on the CPU, not ", boxes.sizes(), " ", boxes.scalar_type(), " on ",
      boxes.device());
}

inline void check_encoding(const at::Tensor& masks, const std::optional<at::Tensor>& boxes) {
  TORCH_CHECK_VALUE(
      masks.dim() == 3 && (masks.scalar_type() == at::kBool || masks.scalar_type() == at::kByte),
      "masks must be (N, H, W) bool or uint8, not ", masks.sizes(), " ", masks.scalar_type());
  check_frame(masks.size(1), masks.size(2));
  if (boxes) {
    check_boxes(*boxes, "boxes", masks.size(0));
  }
}

inline void check_crops(const at::Tensor& words, const at::Tensor& frames, int64_t height, int64_t width) {
  check_frame(height, width);
  TORCH_CHECK_VALUE(
      words.dim() == 1 && words.scalar_type() == at::kLong && words.is_cpu(),
      "words must be (K,) int64 on the CPU, not ", words.sizes(), " ", words.scalar_type(), " on ", words.device());
  check_boxes(frames, "frames", frames.dim() > 0 ? frames.size(0) : 0);
}

inline void check_decay(c10::string_view kernel, double sigma) {
  TORCH_CHECK_VALUE(
      kernel == "gaussian" || kernel == "linear", "NMS kernel must be 'gaussian' or 'linear', not '", kernel, "'");
  TORCH_CHECK_VALUE(
      std::isfinite(sigma) && sigma >= 0, "sigma must be a finite number of at least 0, not ", sigma);
}

}  // namespace solo_d2
