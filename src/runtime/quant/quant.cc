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

template <class Block>
void EncodeRow(std::span<const float> src, std::span<std::byte> dst) {
  for (size_t i = 0; i < src.size() / Block::kSize; ++i) {
    Block block;
    EncodeBlock(src.data() + i * Block::kSize, block);
    StoreBlock(block, dst, i);
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

template <uint16_t (*kConvert)(float)>
void Encode16Bit(std::span<const float> src, std::span<std::byte> dst) {
  for (size_t i = 0; i < src.size(); ++i) {
    const uint16_t bits = kConvert(src[i]);
    std::memcpy(dst.data() + i * sizeof bits, &bits, sizeof bits);
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

void QuantizeRow(TensorType type, std::span<const float> src, std::span<std::byte> dst) {
  HEARTH_CHECK(dst.size() == RowBytes(type, src.size()));
  if (src.empty()) return;
  switch (type) {
    case TensorType::kF32:
      std::memcpy(dst.data(), src.data(), dst.size());
      return;
    case TensorType::kF16:
      return Encode16Bit<FloatToHalf>(src, dst);
    case TensorType::kBF16:
      return Encode16Bit<FloatToBfloat16>(src, dst);
    case TensorType::kQ4_0:
      return EncodeRow<Q4_0Block>(src, dst);
    case TensorType::kQ4_1:
      return EncodeRow<Q4_1Block>(src, dst);
    case TensorType::kQ5_0:
      return EncodeRow<Q5_0Block>(src, dst);
    case TensorType::kQ5_1:
      return EncodeRow<Q5_1Block>(src, dst);
    case TensorType::kQ8_0:
      return EncodeRow<Q8_0Block>(src, dst);
    case TensorType::kQ2_K:
      return EncodeRow<Q2_KBlock>(src, dst);
    case TensorType::kQ3_K:
      return EncodeRow<Q3_KBlock>(src, dst);
    case TensorType::kQ4_K:
      return EncodeRow<Q4_KBlock>(src, dst);
    case TensorType::kQ5_K:
      return EncodeRow<Q5_KBlock>(src, dst);
    case TensorType::kQ6_K:
      return EncodeRow<Q6_KBlock>(src, dst);
    case TensorType::kIQ4_NL:
      return EncodeRow<IQ4_NLBlock>(src, dst);
  }
  HEARTH_CHECK(false);
}

}  // namespace hearth
