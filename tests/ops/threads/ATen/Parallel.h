// ATen/Parallel.h for `make sanitize SANITIZER=thread`: at::parallel_for starts threads that ThreadSanitizer sees.
// It knows pthreads but not the runtime of OpenMP, which it does not instrument: each of its barriers is a race.
#pragma once

#define parallel_for openmp_parallel_for
#include_next <ATen/Parallel.h>
#undef parallel_for

#include <algorithm>
#include <thread>
#include <vector>

namespace at {

// f(begin, end) on up to four threads, as many on any machine.
template <class F>
inline void parallel_for(int64_t begin, int64_t end, int64_t grain_size, const F& f) {
  constexpr int64_t kThreads = 4;
  const int64_t chunk = std::max(divup(end - begin, kThreads), std::max<int64_t>(grain_size, 1));
  std::vector<std::thread> threads;
  for (int64_t start = begin; start < end; start += chunk) {
    threads.emplace_back([&f, start, stop = std::min(start + chunk, end)] { f(start, stop); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

}  // namespace at
