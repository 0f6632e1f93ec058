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

inline void check_decay(c10::string_view kernel, double sigma) {
  TORCH_CHECK_VALUE(
      kernel == "gaussian" || kernel == "linear", "NMS kernel must be 'gaussian' or 'linear', not '", kernel, "'");
  TORCH_CHECK_VALUE(
      std::isfinite(sigma) && sigma >= 0, "sigma must be a finite number of at least 0, not ", sigma);
}

}  // namespace solo_d2
