// Segments a picture with an exported model, by ONNX Runtime's C++ API and nothing else.
//
//   ORT=...  # an unpacked release of ONNX Runtime, 1.12 or later
//   FLAGS="-O2 -std=c++17 -I$ORT/include -L$ORT/lib -Wl,-rpath,$ORT/lib"
//   g++ $FLAGS examples/cpp/segment.cpp -lonnxruntime -o segment
//   ./segment model.onnx picture.ppm 0.3
//
// Prints one line per instance: score, class, box (left, top, right, bottom), and area in pixels. The picture
// is a binary PPM (P6) of the model's input size: this program does not resize it.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Picture {
  int64_t height = 0, width = 0;
  std::vector<uint8_t> rgb;  // height x width x 3
};

// What the file says about itself: the JSON of the metadata entry "solo_d2".
struct Description {
  std::array<float, 3> mean{};  // in the model's order of channels
  bool is_bgr = false;
  bool is_aligned = false;  // how masks are upsampled
  int64_t divisibility = 1;
  int64_t mask_stride = 1;
  float mask_threshold = 0.5f;
  std::vector<std::string> names;
};

struct Instance {
  int64_t left, top, right, bottom, area;
};

Picture read_ppm(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  int64_t most = 0;
  Picture picture;
  file >> magic >> picture.width >> picture.height >> most;
  const bool is_sound = magic == "P6" && most == 255 && picture.width > 0 && picture.height > 0 &&
                        picture.width < (1 << 16) && picture.height < (1 << 16);
  if (!file || !is_sound) throw std::runtime_error(std::string(path) + " is not a binary PPM of 8 bits");
  file.get();  // the one space before the values
  picture.rgb.resize(picture.height * picture.width * 3);
  file.read(reinterpret_cast<char*>(picture.rgb.data()), picture.rgb.size());
  if (!file) throw std::runtime_error(std::string(path) + " ends too early");
  return picture;
}

// Returns the text behind `"key": `; enough for the JSON that solo_d2 writes, which has each key once.
const char* value_of(const std::string& json, const std::string& key) {
  const std::string quoted = "\"" + key + "\": ";
  const size_t place = json.find(quoted);
  if (place == std::string::npos) throw std::runtime_error("the model does not say its " + key);
  return json.c_str() + place + quoted.size();
}

Description read_description(const Ort::Session& session) {
  Ort::AllocatorWithDefaultOptions allocator;
  const auto entry = session.GetModelMetadata().LookupCustomMetadataMapAllocated("solo_d2", allocator);
  if (!entry) throw std::runtime_error("this is not a model that solo-d2 export has written");
  const std::string json = entry.get();
  Description said;
  const char* number = value_of(json, "mean") + 1;
  for (float& value : said.mean) {
    char* end = nullptr;
    value = std::strtof(number, &end);
    number = end + 1;
  }
  said.is_bgr = std::string(value_of(json, "channels"), 5) == "\"BGR\"";
  said.is_aligned = *value_of(json, "aligned") == 't';
  said.divisibility = std::max(std::atoll(value_of(json, "size_divisibility")), 1LL);
  said.mask_stride = std::max(std::atoll(value_of(json, "mask_stride")), 1LL);
  said.mask_threshold = std::strtof(value_of(json, "mask_threshold"), nullptr);
  const std::string key = "\"name\": \"";
  for (size_t place = json.find(key); place != std::string::npos; place = json.find(key, place)) {
    place += key.size();
    said.names.push_back(json.substr(place, json.find('"', place) - place));
  }
  return said;
}

// Returns (3, height, width), padded at the right and below with the mean, which the model turns into 0.
std::vector<float> pad(const Picture& picture, const Description& said, int64_t height, int64_t width) {
  std::vector<float> image(3 * height * width);
  for (int64_t channel = 0; channel < 3; ++channel) {
    const int64_t source = said.is_bgr ? 2 - channel : channel;
    float* plane = image.data() + channel * height * width;
    std::fill(plane, plane + height * width, said.mean[channel]);
    for (int64_t y = 0; y < picture.height; ++y)
      for (int64_t x = 0; x < picture.width; ++x)
        plane[y * width + x] = picture.rgb[(y * picture.width + x) * 3 + source];
  }
  return image;
}

// The two low-resolution rows (or columns) that a pixel lies between, and the weight of the second.
struct Neighbors {
  int64_t first, second;
  float weight;
};

Neighbors neighbors(int64_t pixel, int64_t length, const Description& said) {
  const double stride = double(said.mask_stride);
  const double offset = said.is_aligned ? double(said.mask_stride / 2) : (stride - 1) / 2;
  const double place = std::min(std::max((pixel - offset) / stride, 0.0), double(length - 1));
  const int64_t first = int64_t(place);
  return {first, std::min(first + 1, length - 1), float(place - double(first))};
}

// Upsamples a soft mask (rows, columns) to the picture, and measures what is above the threshold.
Instance measure(const float* mask, int64_t rows, int64_t columns, const Picture& picture,
                 const Description& said) {
  Instance found{picture.width, picture.height, 0, 0, 0};
  for (int64_t y = 0; y < picture.height; ++y) {
    const Neighbors v = neighbors(y, rows, said);
    const float *upper = mask + v.first * columns, *lower = mask + v.second * columns;
    for (int64_t x = 0; x < picture.width; ++x) {
      const Neighbors h = neighbors(x, columns, said);
      const float above = upper[h.first] + h.weight * (upper[h.second] - upper[h.first]);
      const float below = lower[h.first] + h.weight * (lower[h.second] - lower[h.first]);
      if (above + v.weight * (below - above) <= said.mask_threshold) continue;
      found.left = std::min(found.left, x), found.right = std::max(found.right, x + 1);
      found.top = std::min(found.top, y), found.bottom = std::max(found.bottom, y + 1);
      ++found.area;
    }
  }
  return found;
}

void run(const char* model, const char* picture_path, float least_score) {
  const Picture picture = read_ppm(picture_path);
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR);
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session(env, model, options);
  const Description said = read_description(session);

  const auto round_up = [step = said.divisibility](int64_t size) { return (size + step - 1) / step * step; };
  const int64_t height = round_up(picture.height), width = round_up(picture.width);
  std::vector<float> image = pad(picture, said, height, width);
  std::array<int64_t, 2> sizes{picture.height, picture.width};
  const std::array<int64_t, 4> image_shape{1, 3, height, width};
  const std::array<int64_t, 2> sizes_shape{1, 2};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<Ort::Value> inputs;
  inputs.push_back(
      Ort::Value::CreateTensor<float>(memory, image.data(), image.size(), image_shape.data(), 4));
  inputs.push_back(
      Ort::Value::CreateTensor<int64_t>(memory, sizes.data(), sizes.size(), sizes_shape.data(), 2));
  const char* input_names[] = {"images", "sizes"};
  const char* output_names[] = {"scores", "count", "classes", "masks"};
  // Only models whose results depend on the size without padding have the input "sizes".
  const auto outputs = session.Run({}, input_names, inputs.data(), session.GetInputCount(), output_names, 4);

  const auto masks_are = outputs[3].GetTensorTypeAndShapeInfo();
  if (masks_are.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT)
    throw std::runtime_error("export the model with --masks soft");
  const float* scores = outputs[0].GetTensorData<float>();
  const int64_t count = *outputs[1].GetTensorData<int64_t>();
  const int64_t* classes = outputs[2].GetTensorData<int64_t>();
  const float* masks = outputs[3].GetTensorData<float>();
  const std::vector<int64_t> shape = masks_are.GetShape();  // 1, M, rows, columns
  for (int64_t i = 0; i < count && scores[i] >= least_score; ++i) {
    const Instance found = measure(masks + i * shape[2] * shape[3], shape[2], shape[3], picture, said);
    if (found.area == 0) continue;
    const bool has_name = size_t(classes[i]) < said.names.size();
    const std::string name = has_name ? said.names[classes[i]] : std::to_string(classes[i]);
    std::printf("%.6f %s %ld %ld %ld %ld %ld\n", scores[i], name.c_str(), long(found.left), long(found.top),
                long(found.right), long(found.bottom), long(found.area));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: %s MODEL.onnx PICTURE.ppm [LEAST_SCORE]\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1], argv[2], argc == 4 ? std::strtof(argv[3], nullptr) : 0.0f);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
