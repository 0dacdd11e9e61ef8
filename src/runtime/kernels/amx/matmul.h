#pragma once
// What matmul.cc hands to table.cc.

#include "runtime/kernels/kernels.h"

namespace hearth::amx {

inline constexpr int kTileColumns = 16;

// Sets MatmulKernels::many of every format. Their panels have signed codes.
void SetMany(KernelTable& table);

}  // namespace hearth::amx
