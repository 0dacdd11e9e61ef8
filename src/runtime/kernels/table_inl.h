#pragma once
// What the tables of the instruction sets are filled with the same way. Safe to include in ISA
// folders.

#include <stdint.h>

#include "runtime/kernels/kernels.h"

namespace {

// Kernels in the order of StripFormat.
inline void FillMatmul(hearth::KernelTable& table,
                       const hearth::MatmulKernels (&in_order)[hearth::kNumStripFormats]) {
  for (int i = 0; i < hearth::kNumStripFormats; ++i) table.matmul[i] = in_order[i];
}

// KernelTable::int8_peak: step(sum, ones) adds a dot product of `ones` to a sum. Twelve sums hide
// its latency (3 to 5 cycles, up to 4 a cycle). Returns the number of steps done.
template <typename Vector, typename Ones, typename Step>
inline int64_t RunPeak(int64_t rounds, Vector start, Ones ones, const Step& step) {
  constexpr int kSums = 12;
  // Twelve names and not an array, which would live in memory.
  Vector a = start, b = start, c = start, d = start, e = start, f = start, g = start, h = start,
         i = start, j = start, k = start, l = start;
  for (int64_t round = 0; round < rounds; ++round) {
    step(a, ones);
    step(b, ones);
    step(c, ones);
    step(d, ones);
    step(e, ones);
    step(f, ones);
    step(g, ones);
    step(h, ones);
    step(i, ones);
    step(j, ones);
    step(k, ones);
    step(l, ones);
    // "x": the first sixteen vector registers, on x86 as on 64-bit ARM.
    asm volatile(""
                 : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f), "+x"(g), "+x"(h), "+x"(i),
                   "+x"(j), "+x"(k), "+x"(l), "+x"(ones));
  }
  return rounds * kSums;
}

}  // namespace
