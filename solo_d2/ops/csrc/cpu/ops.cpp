// CPU kernels of the operators that solo_d2/ops declares.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "../checks.h"
#include "../matrix_nms_math.h"
#include "instruction_set.h"

namespace solo_d2 {
namespace {

using at::Tensor;

// Pixels converted to float32 at once; a multiple of the word size.
constexpr int64_t kChunk = 4096;
// Tiles per side of the block of pairs whose rows should stay in the second-level cache.
constexpr int64_t kTilesPerBlock = 8;

std::string cpu_kernels() { return bit_kernels().name; }

int64_t words_of(int64_t pixels) { return (pixels + kWordBits - 1) / kWordBits; }

// Packs one mask of float16 or bfloat16, converted piece by piece.
template <typename T>
int64_t pack_row(const T* values, int64_t n, float threshold, uint64_t* words, double* sum) {
  float buffer[kChunk];
  int64_t total = 0;
  for (int64_t start = 0; start < n; start += kChunk) {
    const int64_t length = std::min(kChunk, n - start);
    std::copy(values + start, values + start + length, buffer);
    total += bit_kernels().pack_floats(buffer, length, threshold, words + start / kWordBits, sum);
  }
  return total;
}

template <>
int64_t pack_row(const float* values, int64_t n, float threshold, uint64_t* words, double* sum) {
  return bit_kernels().pack_floats(values, n, threshold, words, sum);
}

template <>
int64_t pack_row(const uint8_t* values, int64_t n, float, uint64_t* words, double* sum) {
  const int64_t area = bit_kernels().pack_bytes(values, n, words);
  *sum += static_cast<double>(area);
  return area;
}

template <typename T>
void pack_rows(const Tensor& masks, float threshold, const Tensor& bits, const Tensor& area, const Tensor& soft_sum) {
  const int64_t pixels = masks.size(1) * masks.size(2);
  const auto* values = static_cast<const T*>(masks.const_data_ptr());
  auto* words = reinterpret_cast<uint64_t*>(bits.mutable_data_ptr<int64_t>());
  auto* areas = area.mutable_data_ptr<int64_t>();
  auto* sums = soft_sum.mutable_data_ptr<float>();
  at::parallel_for(0, masks.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double sum = 0;
      areas[i] = pack_row<T>(values + i * pixels, pixels, threshold, words + i * bits.size(1), &sum);
      sums[i] = static_cast<float>(sum);
    }
  });
}

std::tuple<Tensor, Tensor, Tensor> pack_masks(const Tensor& masks, double threshold) {
  check_dense_masks(masks, threshold);
  const Tensor dense = (masks.scalar_type() == at::kDouble ? masks.to(at::kFloat) : masks).contiguous();
  const int64_t count = dense.size(0);
  const auto integers = dense.options().dtype(at::kLong);
  const Tensor bits = at::empty({count, words_of(dense.size(1) * dense.size(2))}, integers);
  const Tensor area = at::empty({count}, integers);
  const Tensor soft_sum = at::empty({count}, dense.options().dtype(at::kFloat));
  const auto limit = static_cast<float>(threshold);
  switch (dense.scalar_type()) {
    case at::kBool:
    case at::kByte:
      pack_rows<uint8_t>(dense, limit, bits, area, soft_sum);
      break;
    case at::kFloat:
      pack_rows<float>(dense, limit, bits, area, soft_sum);
      break;
    case at::kHalf:
      pack_rows<at::Half>(dense, limit, bits, area, soft_sum);
      break;
    case at::kBFloat16:
      pack_rows<at::BFloat16>(dense, limit, bits, area, soft_sum);
      break;
    default:
      TORCH_CHECK(false, "pack_masks takes bool, uint8 or floating masks, not ", dense.scalar_type());
  }
  return {bits, area, soft_sum};
}

// Returns the masks' bits; packed masks are returned unchanged.
Tensor bits_of(const Tensor& masks, double threshold) {
  return masks.scalar_type() == at::kLong ? masks.contiguous() : std::get<0>(pack_masks(masks, threshold));
}

// Masks of one class are adjacent in `order`, best first.
struct Classes {
  std::vector<int64_t> labels;
  std::vector<int64_t> order;

  Classes(const std::optional<Tensor>& given, int64_t count) : labels(count, 0), order(count) {
    if (given) {
      const Tensor wide = given->to(at::kLong).contiguous();
      std::copy_n(wide.const_data_ptr<int64_t>(), count, labels.begin());
    }
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return labels[a] < labels[b]; });
  }
};

struct TilePair {
  int64_t row;  // positions in Classes::order of the tiles' first masks, row <= column
  int64_t column;
};

// Tiles that hold at least one pair of a class, block by block.
std::vector<TilePair> tile_pairs(const Classes& classes) {
  const auto count = static_cast<int64_t>(classes.order.size());
  const int64_t block = kTilesPerBlock * kTile;
  const auto label_at = [&](int64_t position) { return classes.labels[classes.order[position]]; };
  std::vector<TilePair> pairs;
  for (int64_t row_block = 0; row_block < count; row_block += block) {
    for (int64_t column_block = row_block; column_block < count; column_block += block) {
      for (int64_t row = row_block; row < std::min(row_block + block, count); row += kTile) {
        const int64_t last_label = label_at(std::min(row + kTile, count) - 1);
        const int64_t end = std::min(column_block + block, count);
        for (int64_t column = std::max(row, column_block); column < end; column += kTile) {
          if (column == row || label_at(column) == last_label) {
            pairs.push_back({row, column});
          }
        }
      }
    }
  }
  return pairs;
}

// Calls visit(i, j, common pixels) for every pair i < j of one class, from several threads.
template <typename Visit>
void for_each_pair(const Tensor& bits, const Classes& classes, const Visit& visit) {
  const int64_t words = bits.size(1);
  const auto count = static_cast<int64_t>(classes.order.size());
  const auto* rows = reinterpret_cast<const uint64_t*>(bits.const_data_ptr<int64_t>());
  const std::vector<TilePair> pairs = tile_pairs(classes);
  const auto mask_at = [&](int64_t position) { return classes.order[std::min(position, count - 1)]; };
  at::parallel_for(0, static_cast<int64_t>(pairs.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const auto [row, column] = pairs[index];
      const uint64_t* a[kTile];
      const uint64_t* b[kTile];
      for (int t = 0; t < kTile; ++t) {
        a[t] = rows + mask_at(row + t) * words;
        b[t] = rows + mask_at(column + t) * words;
      }
      int64_t common[kTile * kTile];
      bit_kernels().intersections(a, b, words, common);
      for (int s = 0; s < kTile && row + s < count; ++s) {
        for (int t = 0; t < kTile && column + t < count; ++t) {
          const int64_t i = classes.order[row + s];
          const int64_t j = classes.order[column + t];
          if (row + s < column + t && classes.labels[i] == classes.labels[j]) {
            visit(i, j, common[s * kTile + t]);
          }
        }
      }
    }
  });
}

std::vector<int64_t> areas_of(const Tensor& bits) {
  std::vector<int64_t> areas(bits.size(0));
  const auto* rows = reinterpret_cast<const uint64_t*>(bits.const_data_ptr<int64_t>());
  for (size_t i = 0; i < areas.size(); ++i) {
    areas[i] = bit_kernels().count(rows + i * bits.size(1), bits.size(1));
  }
  return areas;
}

Tensor mask_iou(const Tensor& masks, const std::optional<Tensor>& labels, double threshold) {
  check_masks(masks, labels, threshold);
  const Tensor bits = bits_of(masks, threshold);
  const int64_t count = bits.size(0);
  const std::vector<int64_t> areas = areas_of(bits);
  const Tensor iou = at::zeros({count, count}, bits.options().dtype(at::kFloat));
  auto* out = iou.mutable_data_ptr<float>();
  for_each_pair(bits, Classes(labels, count), [&](int64_t i, int64_t j, int64_t common) {
    out[i * count + j] = static_cast<float>(1 - jaccard_distance(common, areas[i], areas[j]));
  });
  return iou;
}

// Suppressions of every mask by the better ones, reduced to its decay.
std::vector<double> decays(const std::vector<float>& distances, int64_t count, Decay kind, double sigma) {
  std::vector<double> gaps(count, 1.0);
  for (int64_t j = 0; j < count; ++j) {
    for (int64_t i = 0; i < j; ++i) {
      gaps[j] = std::min<double>(gaps[j], distances[j * count + i]);
    }
  }
  std::vector<double> result(count);
  for (int64_t j = 0; j < count; ++j) {
    double strongest = no_suppression(kind);
    for (int64_t i = 0; i < j; ++i) {
      strongest = std::max(strongest, suppression(kind, distances[j * count + i], gaps[i]));
    }
    result[j] = decay_factor(kind, strongest, sigma);
  }
  return result;
}

Tensor matrix_nms(
    const Tensor& masks,
    const std::optional<Tensor>& labels,
    const Tensor& scores,
    c10::string_view kernel,
    double sigma,
    double threshold) {
  check_masks(masks, labels, threshold);
  check_scores(scores, masks);
  check_decay(kernel, sigma);
  const Tensor bits = bits_of(masks, threshold);
  const int64_t count = bits.size(0);
  const std::vector<int64_t> areas = areas_of(bits);
  std::vector<float> distances(count * count, 1.0f);  // row j: to the better masks i < j
  for_each_pair(bits, Classes(labels, count), [&](int64_t i, int64_t j, int64_t common) {
    distances[j * count + i] = static_cast<float>(jaccard_distance(common, areas[i], areas[j]));
  });
  const Decay kind = kernel == "gaussian" ? Decay::gaussian : Decay::linear;
  const std::vector<double> factors = decays(distances, count, kind, sigma);
  const Tensor result = scores.to(at::kDouble).contiguous().clone();
  auto* values = result.mutable_data_ptr<double>();
  for (int64_t j = 0; j < count; ++j) {
    values[j] *= factors[j];
  }
  return result.to(scores.scalar_type());
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(solo_d2, m) {
  m.def("cpu_kernels() -> str", cpu_kernels);
}

TORCH_LIBRARY_IMPL(solo_d2, CPU, m) {
  m.impl("pack_masks", pack_masks);
  m.impl("mask_iou", mask_iou);
  m.impl("matrix_nms", matrix_nms);
}

}  // namespace solo_d2
