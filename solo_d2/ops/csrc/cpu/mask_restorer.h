// One soft mask at feature size to the bits of the binary mask at output size. No torch headers.
//
// Both steps are separable: rows of the mask are stretched to the network input's width, blended to the network
// input's rows, stretched to the output's width and blended to the output's rows, few rows at a time. Only outputs
// whose support meets a value above the threshold are computed: the others are false.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../bilinear_math.h"
#include "row_kernels.h"

namespace solo_d2 {

// Half-open; empty where begin >= end.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return std::max<int64_t>(end - begin, 0); }
  void cover(const Range& other) {
    if (other.size() > 0) {
      *this = size() > 0 ? Range{std::min(begin, other.begin), std::max(end, other.end)} : other;
    }
  }
};

struct Frame {
  Range y;
  Range x;
  int64_t words_per_row() const { return (x.size() + kWordBits - 1) / kWordBits; }
  int64_t words() const { return y.size() * words_per_row(); }
};

// The taps of one interpolation in one dimension, field by field.
struct Taps {
  std::vector<int32_t> low;
  std::vector<int32_t> high;
  std::vector<float> low_weight;
  std::vector<float> high_weight;

  void add(const Tap& tap) {
    low.push_back(tap.low);
    high.push_back(tap.high);
    low_weight.push_back(tap.low_weight);
    high_weight.push_back(tap.high_weight);
  }
};

struct Sizes {
  int64_t mask;    // of the soft masks
  int64_t stride;  // network-input pixels per mask pixel
  int64_t image;   // of the network input without padding
  int64_t output;
};

// The way from mask to output in one dimension.
class Dimension {
 public:
  Dimension(const Sizes& sizes, bool aligned, bool resizes, bool fused) {
    const int mask = static_cast<int>(sizes.mask);
    const int stride = static_cast<int>(sizes.stride);
    for (int i = 0; i < sizes.image; ++i) {
      upsampling.add(aligned ? aligned_tap(i, mask, stride) : half_pixel_tap(i, mask, mask * stride, fused));
    }
    for (int i = 0; i < sizes.output; ++i) {
      if (resizes) {
        resizing.add(half_pixel_tap(i, static_cast<int>(sizes.image), static_cast<int>(sizes.output), fused));
      }
      first_.push_back(upsampling.low[resizes ? resizing.low[i] : i]);
      last_.push_back(upsampling.high[resizes ? resizing.high[i] : i]);
    }
  }

  // Mask positions that output i may depend on.
  Range support(int64_t i) const { return {first_[i], last_[i] + 1}; }

  // Outputs that may depend on any of the mask positions.
  Range outputs_of(const Range& positions) const {
    if (positions.size() == 0) {
      return {};
    }
    const auto begin = std::lower_bound(last_.begin(), last_.end(), positions.begin);
    const auto end = std::lower_bound(first_.begin(), first_.end(), positions.end);
    return {begin - last_.begin(), end - first_.begin()};
  }

  // Network-input positions that the outputs depend on.
  Range image_of(const Range& outputs) const {
    return resizing.low.empty() ? outputs : Range{resizing.low[outputs.begin], resizing.high[outputs.end - 1] + 1};
  }

  Taps upsampling;
  Taps resizing;  // empty if the output has the network input's size

 private:
  std::vector<int32_t> first_;
  std::vector<int32_t> last_;
};

// Where a mask's values are above the (cautious) threshold.
struct Extents {
  std::vector<Range> columns_of_row;
  Range rows;
  Range columns;

  Extents() = default;
  Extents(const float* mask, int64_t height, int64_t width, float threshold, const BitKernels& kernels)
      : columns_of_row(height) {
    std::vector<uint64_t> above((width + kWordBits - 1) / kWordBits);
    const auto words = static_cast<int64_t>(above.size());
    double unused = 0;
    for (int64_t y = 0; y < height; ++y) {
      if (kernels.pack_floats(mask + y * width, width, threshold, above.data(), &unused) > 0) {
        columns_of_row[y] = {first_bit(above.data(), words), end_bit(above.data(), words)};
        columns.cover(columns_of_row[y]);
        rows.cover({y, y + 1});
      }
    }
  }
};

// Restores mask after mask; one per thread.
class MaskRestorer {
 public:
  MaskRestorer(const Dimension& y, const Dimension& x, float threshold, const RowKernels& kernels)
      : y_(y), x_(x), threshold_(threshold), kernels_(kernels), wide_(2), resized_(2), image_row_(x.upsampling.low.size()) {
    for (int slot = 0; slot < 2; ++slot) {
      wide_[slot].values.resize(x.upsampling.low.size());
      resized_[slot].values.resize(x.resizing.low.size());
    }
  }

  static Frame frame_of(const Extents& extents, const Dimension& y, const Dimension& x) {
    return {y.outputs_of(extents.rows), x.outputs_of(extents.columns)};
  }

  // Calls visit(y, words) for every row of the frame that may have pixels; bit b of words[w] is the pixel
  // frame.x.begin + 64 * w + b.
  template <typename Visit>
  void restore(const float* mask, int64_t width, const Extents& extents, const Frame& frame, const Visit& visit) {
    mask_ = mask;
    mask_width_ = width;
    image_columns_ = x_.image_of(frame.x);
    columns_ = frame.x;
    for (Row& row : wide_) row.index = -1;
    for (Row& row : resized_) row.index = -1;
    words_.assign(frame.words_per_row(), 0);
    for (int64_t y = frame.y.begin; y < frame.y.end; ++y) {
      const Range support = y_.support(y);
      Range touched;
      for (int64_t row = support.begin; row < support.end; ++row) {
        touched.cover(extents.columns_of_row[row]);
      }
      const Range span = x_.outputs_of(touched);
      if (span.size() == 0) {
        continue;
      }
      const int64_t first_word = (span.begin - frame.x.begin) / kWordBits;
      const int64_t begin = frame.x.begin + first_word * kWordBits;
      std::fill(words_.begin(), words_.end(), 0);
      threshold_row(y, begin, span.end - begin, words_.data() + first_word);
      visit(y, words_.data());
    }
  }

 private:
  struct Row {
    int64_t index = -1;
    std::vector<float> values;
  };

  void threshold_row(int64_t y, int64_t begin, int64_t count, uint64_t* words) {
    const bool resizes = !y_.resizing.low.empty();
    const Taps& taps = resizes ? y_.resizing : y_.upsampling;
    const float* low = resizes ? resized(taps.low[y]) : wide(taps.low[y]);
    const float* high = resizes ? resized(taps.high[y]) : wide(taps.high[y]);
    kernels_.blend_bits(low + begin, high + begin, taps.low_weight[y], taps.high_weight[y], threshold_, count, words);
  }

  // A row of the mask at the network input's width. Neighboring rows have different slots.
  const float* wide(int64_t row) {
    Row& slot = wide_[row % 2];
    if (slot.index != row) {
      slot.index = row;
      stretch(mask_ + row * mask_width_, x_.upsampling, image_columns_, slot.values.data());
    }
    return slot.values.data();
  }

  // A row of the network input at the output's width.
  const float* resized(int64_t row) {
    Row& slot = resized_[row % 2];
    if (slot.index != row) {
      slot.index = row;
      const Taps& taps = y_.upsampling;
      const float* low = wide(taps.low[row]);
      const float* high = wide(taps.high[row]);
      const int64_t begin = image_columns_.begin;
      kernels_.blend(low + begin, high + begin, taps.low_weight[row], taps.high_weight[row], image_columns_.size(),
                     image_row_.data() + begin);
      stretch(image_row_.data(), x_.resizing, columns_, slot.values.data());
    }
    return slot.values.data();
  }

  void stretch(const float* row, const Taps& taps, const Range& columns, float* out) {
    const int64_t begin = columns.begin;
    kernels_.stretch(row, taps.low.data() + begin, taps.high.data() + begin, taps.low_weight.data() + begin,
                     taps.high_weight.data() + begin, columns.size(), out + begin);
  }

  const Dimension& y_;
  const Dimension& x_;
  const float threshold_;
  const RowKernels& kernels_;
  const float* mask_ = nullptr;
  int64_t mask_width_ = 0;
  Range columns_;        // of the output
  Range image_columns_;  // of the network input
  std::vector<Row> wide_;
  std::vector<Row> resized_;
  std::vector<float> image_row_;
  std::vector<uint64_t> words_;
};

// Bounds and area of a mask that comes row by row.
class Bounds {
 public:
  explicit Bounds(const Frame& frame) : frame_(frame), columns_(frame.words_per_row(), 0) {}

  void add(int64_t y, const uint64_t* words, const BitKernels& kernels) {
    const int64_t count = kernels.count(words, static_cast<int64_t>(columns_.size()));
    if (count == 0) {
      return;
    }
    area_ += count;
    rows_.cover({y, y + 1});
    for (size_t k = 0; k < columns_.size(); ++k) {
      columns_[k] |= words[k];
    }
  }

  int64_t area() const { return area_; }
  Range rows() const { return rows_; }

  Range columns() const {
    const auto words = static_cast<int64_t>(columns_.size());
    if (area_ == 0) {
      return {};
    }
    return {frame_.x.begin + first_bit(columns_.data(), words), frame_.x.begin + end_bit(columns_.data(), words)};
  }

 private:
  const Frame& frame_;
  std::vector<uint64_t> columns_;
  Range rows_;
  int64_t area_ = 0;
};

}  // namespace solo_d2
