// COCO's run-length encoding of bits, read row by row though its runs go down the columns. No torch headers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "mask_restorer.h"

namespace solo_d2 {

// Runs, one after the other, as COCO's text: 5 bits a character, from the fourth run on the difference to the run
// before the last.
class RunText {
 public:
  void add(int64_t run) {
    int64_t value = count_ > 2 ? run - previous_[count_ % 2] : run;
    previous_[count_ % 2] = run;
    ++count_;
    bool more = true;
    while (more) {
      int64_t digit = value & 0x1f;
      value >>= 5;
      more = digit & 0x10 ? value != -1 : value != 0;
      digit |= more ? 0x20 : 0;
      text_.push_back(static_cast<char>(digit + 48));
    }
  }

  std::string take() { return std::move(text_); }

 private:
  std::string text_;
  int64_t previous_[2] = {0, 0};
  int64_t count_ = 0;
};

// The bits of 64 rows become those of 64 columns (Hacker's Delight, section 7-3).
inline void transpose(uint64_t* block) {
  uint64_t kept = 0x00000000ffffffffULL;
  for (int distance = 32; distance > 0; distance /= 2, kept ^= kept << distance) {
    for (int i = 0; i < 64; i = (i + distance + 1) & ~distance) {
      const uint64_t swapped = (block[i] >> distance ^ block[i + distance]) & kept;
      block[i] ^= swapped << distance;
      block[i + distance] ^= swapped;
    }
  }
}

// Encodes mask after mask; one per thread.
class RunEncoder {
 public:
  RunEncoder(int64_t height, int64_t width) : height_(height), width_(width) {}

  // rows: the frame's rows, words_per_row apart; everything outside the frame is false.
  std::string encode(const uint64_t* rows, int64_t words_per_row, const Frame& frame) {
    text_ = RunText();
    position_ = 0;
    inside_ = false;
    blocks_ = (frame.y.size() + kWordBits - 1) / kWordBits;
    columns_.resize(blocks_ * kWordBits);
    for (int64_t x = frame.x.begin; x < frame.x.end; x += kWordBits) {
      const int64_t strip = (x - frame.x.begin) / kWordBits;
      if (!load_strip(rows + strip, words_per_row, frame.y.size())) {
        leave(x * height_);
        continue;
      }
      for (int64_t column = 0; column < std::min<int64_t>(kWordBits, frame.x.end - x); ++column) {
        add_column(column, x + column, frame.y);
      }
    }
    if (frame.x.end < width_) {
      leave(frame.x.end * height_);
    }
    text_.add(height_ * width_ - position_);
    return text_.take();
  }

 private:
  // columns_[64 * b + c]: rows 64 * b and on of column c. Returns whether any bit is set.
  bool load_strip(const uint64_t* rows, int64_t words_per_row, int64_t count) {
    uint64_t any_of_strip = 0;
    for (int64_t block = 0; block < blocks_; ++block) {
      uint64_t* bits = columns_.data() + block * kWordBits;
      uint64_t any = 0;
      for (int64_t row = 0; row < kWordBits; ++row) {
        const int64_t y = block * kWordBits + row;
        bits[row] = y < count ? rows[y * words_per_row] : 0;
        any |= bits[row];
      }
      if (any) {
        transpose(bits);
      }
      any_of_strip |= any;
    }
    return any_of_strip != 0;
  }

  void add_column(int64_t column, int64_t x, const Range& y) {
    const int64_t start = x * height_;
    if (y.begin > 0) {
      leave(start);
    }
    for (int64_t block = 0; block < blocks_; ++block) {
      const uint64_t bits = columns_[block * kWordBits + column];
      const int64_t length = std::min<int64_t>(kWordBits, y.size() - block * kWordBits);
      uint64_t changes = bits ^ (bits << 1 | static_cast<uint64_t>(inside_));
      changes &= length < kWordBits ? (1ULL << length) - 1 : ~0ULL;
      while (changes) {
        change(start + y.begin + block * kWordBits + lowest_bit(changes));
        changes &= changes - 1;
      }
    }
    if (y.end < height_) {
      leave(start + y.end);
    }
  }

  void change(int64_t position) {
    text_.add(position - position_);
    position_ = position;
    inside_ = !inside_;
  }

  void leave(int64_t position) {
    if (inside_) {
      change(position);
    }
  }

  const int64_t height_;
  const int64_t width_;
  RunText text_;
  int64_t position_ = 0;  // where the current run begins
  bool inside_ = false;   // whether its pixels are true
  int64_t blocks_ = 0;
  std::vector<uint64_t> columns_;
};

}  // namespace solo_d2
