// CPU kernels of solo_d2::restore_masks and solo_d2::restore_crops.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <cstdlib>
#include <tuple>

#include "../checks.h"
#include "instruction_set.h"
#include "mask_restorer.h"

namespace solo_d2 {
namespace {

using at::Tensor;

// What all masks of a call share, and where each of them may have pixels.
struct Job {
  Tensor masks;  // (N, h, w) float32, contiguous
  float threshold;
  int64_t height;
  int64_t width;
  Dimension y;
  Dimension x;
  std::vector<Extents> extents;
  std::vector<Frame> frames;

  Job(const Tensor& given, double limit, at::IntArrayRef image, at::IntArrayRef output, int64_t stride, bool aligned)
      : masks(given.to(at::kFloat).contiguous()),
        threshold(static_cast<float>(limit)),
        height(output[0]),
        width(output[1]),
        y({masks.size(1), stride, image[0], output[0]}, aligned, image != output, row_kernels().fused),
        x({masks.size(2), stride, image[1], output[1]}, aligned, image != output, row_kernels().fused) {
    const int64_t count = masks.size(0);
    const int64_t pixels = masks.size(1) * masks.size(2);
    extents.resize(count);
    frames.resize(count);
    const auto* values = masks.const_data_ptr<float>();
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        extents[i] = Extents(values + i * pixels, masks.size(1), masks.size(2), cautious(threshold), bit_kernels());
        frames[i] = MaskRestorer::frame_of(extents[i], y, x);
      }
    });
  }

  // Calls write(i, y, words) for rows of mask i that may have pixels; fills boxes (N, 4) and areas (N,).
  template <typename Write>
  void run(const Tensor& boxes, const Tensor& areas, const Write& write) const {
    const int64_t pixels = masks.size(1) * masks.size(2);
    const auto* values = masks.const_data_ptr<float>();
    auto* corners = boxes.mutable_data_ptr<float>();
    auto* area = areas.mutable_data_ptr<int64_t>();
    at::parallel_for(0, masks.size(0), 1, [&](int64_t begin, int64_t end) {
      MaskRestorer restorer(y, x, threshold, row_kernels());
      for (int64_t i = begin; i < end; ++i) {
        Bounds bounds(frames[i]);
        if (frames[i].words() > 0) {
          restorer.restore(values + i * pixels, masks.size(2), extents[i], frames[i], [&](int64_t row, const uint64_t* words) {
            bounds.add(row, words, bit_kernels());
            write(i, row, words);
          });
        }
        const Range rows = bounds.rows();
        const Range columns = bounds.columns();
        area[i] = bounds.area();
        const int64_t box[4] = {columns.begin, rows.begin, columns.end, rows.end};
        std::copy(box, box + 4, corners + 4 * i);
      }
    });
  }
};

// Zeros that cost time and memory only where they are written: the system hands out pages when they are touched.
Tensor lazy_zeros(int64_t count, int64_t height, int64_t width) {
  void* memory = count > 0 ? std::calloc(count, height * width) : std::calloc(1, 1);
  TORCH_CHECK(memory != nullptr, "not enough memory for ", count, " masks of ", height, " x ", width, " pixels");
  return at::from_blob(memory, {count, height, width}, [](void* data) { std::free(data); }, at::kBool);
}

std::tuple<Tensor, Tensor, Tensor> restore_masks(
    const Tensor& masks,
    double threshold,
    at::IntArrayRef image_size,
    at::IntArrayRef output_size,
    int64_t stride,
    bool aligned) {
  check_restoring(masks, threshold, image_size, output_size, stride);
  const int64_t count = masks.size(0);
  const Job job(masks, threshold, image_size, output_size, stride, aligned);
  const Tensor result = lazy_zeros(count, job.height, job.width);
  const Tensor boxes = at::empty({count, 4}, at::kFloat);
  const Tensor areas = at::empty({count}, at::kLong);
  auto* bytes = static_cast<uint8_t*>(result.mutable_data_ptr());
  job.run(boxes, areas, [&](int64_t i, int64_t y, const uint64_t* words) {
    const Range& columns = job.frames[i].x;
    row_kernels().unpack(words, columns.size(), bytes + (i * job.height + y) * job.width + columns.begin);
  });
  return {result, boxes, areas};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> restore_crops(
    const Tensor& masks,
    double threshold,
    at::IntArrayRef image_size,
    at::IntArrayRef output_size,
    int64_t stride,
    bool aligned) {
  check_restoring(masks, threshold, image_size, output_size, stride);
  const int64_t count = masks.size(0);
  const Job job(masks, threshold, image_size, output_size, stride, aligned);
  const Tensor frames = at::zeros({count, 4}, at::kLong);
  auto* corners = frames.mutable_data_ptr<int64_t>();
  std::vector<int64_t> starts(count + 1, 0);
  for (int64_t i = 0; i < count; ++i) {
    const Frame& frame = job.frames[i];
    starts[i + 1] = starts[i] + frame.words();
    if (frame.words() > 0) {
      const int64_t box[4] = {frame.x.begin, frame.y.begin, frame.x.end, frame.y.end};
      std::copy(box, box + 4, corners + 4 * i);
    }
  }
  const Tensor words = at::zeros({starts[count]}, at::kLong);
  const Tensor boxes = at::empty({count, 4}, at::kFloat);
  const Tensor areas = at::empty({count}, at::kLong);
  auto* bits = reinterpret_cast<uint64_t*>(words.mutable_data_ptr<int64_t>());
  job.run(boxes, areas, [&](int64_t i, int64_t y, const uint64_t* row) {
    const int64_t length = job.frames[i].words_per_row();
    std::copy_n(row, length, bits + starts[i] + (y - job.frames[i].y.begin) * length);
  });
  return {words, frames, boxes, areas};
}

}  // namespace

TORCH_LIBRARY_IMPL(solo_d2, CPU, m) {
  m.impl("restore_masks", restore_masks);
  m.impl("restore_crops", restore_crops);
}

}  // namespace solo_d2
