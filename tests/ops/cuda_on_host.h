// Just enough of CUDA's built-ins to run kernels on a CPU: one std::thread per CUDA thread of a block, one
// block after the other. Warps are 32 consecutive threads; collective operations meet at barriers.
#pragma once

#include <barrier>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

struct uint4 {
  uint32_t x, y, z, w;
};

struct Block {
  explicit Block(unsigned threads) : barrier(threads), lanes(threads) {
    for (unsigned first = 0; first < threads; first += 32) {
      warps.push_back(std::make_unique<std::barrier<>>(threads - first < 32 ? threads - first : 32));
    }
  }
  std::barrier<> barrier;
  std::vector<std::unique_ptr<std::barrier<>>> warps;
  std::vector<int64_t> lanes;  // what each thread shows to the others
};

inline thread_local dim3 threadIdx, blockIdx;
inline thread_local Block* block = nullptr;
inline dim3 blockDim, gridDim;

inline unsigned thread_rank() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }

inline void __syncthreads() { block->barrier.arrive_and_wait(); }

inline int __syncthreads_or(int predicate) {
  block->lanes[thread_rank()] = predicate;
  block->barrier.arrive_and_wait();
  int any = 0;
  for (const int64_t value : block->lanes) {
    any |= value != 0;
  }
  block->barrier.arrive_and_wait();
  return any;
}

inline uint32_t __ballot_sync(uint32_t, int predicate) {
  const unsigned rank = thread_rank();
  block->lanes[rank] = predicate;
  block->warps[rank / 32]->arrive_and_wait();
  uint32_t ballot = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    ballot |= static_cast<uint32_t>(block->lanes[rank / 32 * 32 + lane] != 0) << lane;
  }
  block->warps[rank / 32]->arrive_and_wait();
  return ballot;
}

template <typename T>
T __shfl_down_sync(uint32_t, T value, unsigned delta) {
  static_assert(sizeof(T) <= sizeof(int64_t));
  const unsigned rank = thread_rank();
  __builtin_memcpy(&block->lanes[rank], &value, sizeof(T));
  block->warps[rank / 32]->arrive_and_wait();
  T other = value;
  if (rank % 32 + delta < 32) {
    __builtin_memcpy(&other, &block->lanes[rank + delta], sizeof(T));
  }
  block->warps[rank / 32]->arrive_and_wait();
  return other;
}

inline int __popc(uint32_t bits) { return __builtin_popcount(bits); }

inline int atomicAdd(int* target, int value) { return __atomic_fetch_add(target, value, __ATOMIC_RELAXED); }

inline int atomicMin(int* target, int value) {
  int seen = __atomic_load_n(target, __ATOMIC_RELAXED);
  while (value < seen && !__atomic_compare_exchange_n(target, &seen, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return seen;
}

inline int atomicMax(int* target, int value) {
  int seen = __atomic_load_n(target, __ATOMIC_RELAXED);
  while (value > seen && !__atomic_compare_exchange_n(target, &seen, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return seen;
}

template <typename Kernel>
void launch(dim3 grid, dim3 threads, const Kernel& kernel) {
  blockDim = threads;
  gridDim = grid;
  const unsigned count = threads.x * threads.y * threads.z;
  for (unsigned index = 0; index < grid.x * grid.y * grid.z; ++index) {
    Block current(count);
    std::vector<std::thread> running;
    for (unsigned rank = 0; rank < count; ++rank) {
      running.emplace_back([&, rank] {
        block = &current;
        blockIdx = {index % grid.x, index / grid.x % grid.y, index / (grid.x * grid.y)};
        threadIdx = {rank % threads.x, rank / threads.x % threads.y, rank / (threads.x * threads.y)};
        kernel();
      });
    }
    for (std::thread& thread : running) {
      thread.join();
    }
  }
}
