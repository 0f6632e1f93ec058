// Chooses the kernels for this machine.
#pragma once

#include <ATen/Version.h>

#include <string>

#include "bit_kernels.h"
#include "row_kernels.h"

namespace solo_d2 {

enum class InstructionSet { portable, avx2, avx512 };

// The best of this machine. ATEN_CPU_CAPABILITY lowers the choice, as it does in PyTorch.
inline InstructionSet instruction_set() {
  static const InstructionSet chosen = [] {
#ifdef SOLO_D2_X86
    const std::string allowed = at::get_cpu_capability();
    const bool is_wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vpopcntdq");
    if (allowed == "AVX512" && is_wide) {
      return InstructionSet::avx512;
    }
    if ((allowed == "AVX512" || allowed == "AVX2") && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt")) {
      return InstructionSet::avx2;
    }
#endif
    return InstructionSet::portable;
  }();
  return chosen;
}

template <typename Kernels>
const Kernels& best_of(const Kernels& portable, const Kernels& avx2, const Kernels& avx512) {
  const InstructionSet set = instruction_set();
  return set == InstructionSet::avx512 ? avx512 : set == InstructionSet::avx2 ? avx2 : portable;
}

#ifdef SOLO_D2_X86
inline const BitKernels& bit_kernels() { return best_of(kPortableKernels, kAvx2Kernels, kAvx512Kernels); }
inline const RowKernels& row_kernels() { return best_of(kPortableRowKernels, kAvx2RowKernels, kAvx512RowKernels); }
#else
inline const BitKernels& bit_kernels() { return kPortableKernels; }
inline const RowKernels& row_kernels() { return kPortableRowKernels; }
#endif

}  // namespace solo_d2
