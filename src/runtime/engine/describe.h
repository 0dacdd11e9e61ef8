#pragma once
// What a model file says of itself, read from its header alone.

#include "base/result.h"
#include "runtime/engine/engine.h"
#include "runtime/gguf/gguf.h"
#include "runtime/kernels/kernels.h"

namespace hearth {

Result<ModelDescription> DescribeModel(const GgufFile& file, KvType kv_type);

inline KvStorage StorageOf(KvType type) {
  return type == KvType::kF16 ? KvStorage::kF16 : KvStorage::kInt8;
}

}  // namespace hearth
