#pragma once
// What a model file says of itself, read from its header alone.

#include "base/result.h"
#include "runtime/engine/engine.h"
#include "runtime/gguf/gguf.h"
#include "runtime/kernels/kernels.h"

namespace hearth {

Result<ModelDescription> DescribeModel(const GgufFile& file, KvType kv_type);

inline KvStorage StorageOf(KvType type) {
  switch (type) {
    case KvType::kF16:
      return KvStorage::kF16;
    case KvType::kInt8:
      return KvStorage::kInt8;
    case KvType::kInt8Int4:
      return KvStorage::kInt8Int4;
    case KvType::kInt4:
      break;
  }
  return KvStorage::kInt4;
}

}  // namespace hearth
