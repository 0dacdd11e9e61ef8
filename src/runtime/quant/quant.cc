#include "runtime/quant/quant.h"

#include <cstring>

#include "base/check.h"
#include "runtime/quant/block_codecs.h"

namespace hearth {
namespace {

template <class Block>
void DecodeRow(std::span<const std::byte> src, std::span<float> dst) {
  for (size_t i = 0; i < dst.size() / Block::kSize; ++i) {
    DecodeBlock(LoadBlock<Block>(src, i), dst.data() + i * Block::kSize);
  }
}

template <float (*kConvert)(uint16_t)>
void Decode16Bit(std::span<const std::byte> src, std::span<float> dst) {
  for (size_t i = 0; i < dst.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, src.data() + i * sizeof bits, sizeof bits);
    dst[i] = kConvert(bits);
  }
}

}  // namespace

size_t RowBytes(TensorType type, size_t num_elements) {
  const TensorTypeInfo& info = InfoOf(type);
  HEARTH_CHECK(num_elements % info.block_size == 0);
  return num_elements / info.block_size * info.block_bytes;
}

void DequantizeRow(TensorType type, std::span<const std::byte> src, std::span<float> dst) {
  HEARTH_CHECK(src.size() == RowBytes(type, dst.size()));
  if (dst.empty()) return;
  switch (type) {
    case TensorType::kF32:
      std::memcpy(dst.data(), src.data(), src.size());
      return;
    case TensorType::kF16:
      return Decode16Bit<HalfToFloat>(src, dst);
    case TensorType::kBF16:
      return Decode16Bit<Bfloat16ToFloat>(src, dst);
    case TensorType::kQ4_0:
      return DecodeRow<Q4_0Block>(src, dst);
    case TensorType::kQ4_1:
      return DecodeRow<Q4_1Block>(src, dst);
    case TensorType::kQ5_0:
      return DecodeRow<Q5_0Block>(src, dst);
    case TensorType::kQ5_1:
      return DecodeRow<Q5_1Block>(src, dst);
    case TensorType::kQ8_0:
      return DecodeRow<Q8_0Block>(src, dst);
    case TensorType::kQ2_K:
      return DecodeRow<Q2_KBlock>(src, dst);
    case TensorType::kQ3_K:
      return DecodeRow<Q3_KBlock>(src, dst);
    case TensorType::kQ4_K:
      return DecodeRow<Q4_KBlock>(src, dst);
    case TensorType::kQ5_K:
      return DecodeRow<Q5_KBlock>(src, dst);
    case TensorType::kQ6_K:
      return DecodeRow<Q6_KBlock>(src, dst);
    case TensorType::kIQ4_NL:
      return DecodeRow<IQ4_NLBlock>(src, dst);
  }
  HEARTH_CHECK(false);
}

}  // namespace hearth
