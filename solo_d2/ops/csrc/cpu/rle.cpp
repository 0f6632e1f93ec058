// CPU kernels of solo_d2::encode_masks and solo_d2::encode_crops.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <string>
#include <tuple>

#include "../checks.h"
#include "instruction_set.h"
#include "rle.h"

namespace solo_d2 {
namespace {

using at::Tensor;

// All texts in a row, and where each of them ends.
std::tuple<Tensor, Tensor> joined(const std::vector<std::string>& texts) {
  const Tensor ends = at::empty({static_cast<int64_t>(texts.size())}, at::kLong);
  auto* end = ends.mutable_data_ptr<int64_t>();
  int64_t total = 0;
  for (const std::string& text : texts) {
    total += static_cast<int64_t>(text.size());
    *end++ = total;
  }
  const Tensor characters = at::empty({total}, at::kByte);
  auto* out = characters.mutable_data_ptr<uint8_t>();
  for (const std::string& text : texts) {
    out = std::copy(text.begin(), text.end(), out);
  }
  return {characters, ends};
}

// A box, (x0, y0, x1, y1) of whole pixels, cut at the image's borders.
Frame frame_of(const int64_t* box, int64_t height, int64_t width) {
  const auto cut = [](int64_t begin, int64_t end, int64_t size) {
    return Range{std::clamp<int64_t>(begin, 0, size), std::clamp<int64_t>(end, 0, size)};
  };
  const Frame frame{cut(box[1], box[3], height), cut(box[0], box[2], width)};
  return frame.words() > 0 ? frame : Frame{};
}

std::tuple<Tensor, Tensor> encode_masks(const Tensor& masks, const std::optional<Tensor>& boxes) {
  check_encoding(masks, boxes);
  const Tensor rows = masks.stride(2) == 1 ? masks : masks.contiguous();
  const int64_t count = rows.size(0);
  const int64_t height = rows.size(1);
  const int64_t width = rows.size(2);
  const Tensor corners = boxes ? boxes->contiguous() : Tensor();
  const auto* pixels = static_cast<const uint8_t*>(rows.const_data_ptr());
  std::vector<std::string> texts(count);
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    RunEncoder encoder(height, width);
    std::vector<uint64_t> bits;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t whole[4] = {0, 0, width, height};
      Frame frame = frame_of(boxes ? corners.const_data_ptr<int64_t>() + 4 * i : whole, height, width);
      const int64_t length = frame.words_per_row();
      bits.resize(frame.words());
      Range occupied;
      for (int64_t y = frame.y.begin; y < frame.y.end; ++y) {
        const uint8_t* row = pixels + i * rows.stride(0) + y * rows.stride(1) + frame.x.begin;
        uint64_t* words = bits.data() + (y - frame.y.begin) * length;
        if (bit_kernels().pack_bytes(row, frame.x.size(), words) > 0) {
          occupied.cover({y, y + 1});
        }
      }
      const uint64_t* first = bits.data() + (occupied.size() > 0 ? occupied.begin - frame.y.begin : 0) * length;
      frame.y = occupied;
      texts[i] = encoder.encode(first, length, frame);
    }
  });
  return joined(texts);
}

std::tuple<Tensor, Tensor> encode_crops(const Tensor& words, const Tensor& frames, int64_t height, int64_t width) {
  check_crops(words, frames, height, width);
  const int64_t count = frames.size(0);
  const Tensor corners = frames.contiguous();
  const Tensor bits = words.contiguous();
  std::vector<Frame> places(count);
  std::vector<int64_t> starts(count + 1, 0);
  for (int64_t i = 0; i < count; ++i) {
    places[i] = frame_of(corners.const_data_ptr<int64_t>() + 4 * i, height, width);
    starts[i + 1] = starts[i] + places[i].words();
  }
  TORCH_CHECK_VALUE(
      starts[count] == bits.size(0), "the frames need ", starts[count], " words, not ", bits.size(0));
  const auto* rows = reinterpret_cast<const uint64_t*>(bits.const_data_ptr<int64_t>());
  std::vector<std::string> texts(count);
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    RunEncoder encoder(height, width);
    for (int64_t i = begin; i < end; ++i) {
      texts[i] = encoder.encode(rows + starts[i], places[i].words_per_row(), places[i]);
    }
  });
  return joined(texts);
}

}  // namespace

TORCH_LIBRARY_IMPL(solo_d2, CPU, m) {
  m.impl("encode_masks", encode_masks);
  m.impl("encode_crops", encode_crops);
}

}  // namespace solo_d2
