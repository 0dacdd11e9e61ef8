#pragma once
// The block structs of quantised tensors, bit for bit as they lie in a GGUF file (little-endian),
// and their small unpackers. Source: the GGUF specification's type list and the block formats it
// refers to (ggml's block_q4_0 ... block_iq4_nl).
//
// "d" and "m" fields hold IEEE binary16 bits. "code" is the unsigned integer stored for one weight;
// k is a weight's place in its block. Files give no alignment: copy a block out with memcpy
// (LoadBlock) rather than casting a pointer.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "runtime/quant/tensor_type.h"

namespace hearth {

inline constexpr int kSmallBlock = 32;   // weights in a block of Q4_0 ... Q8_0 and IQ4_NL
inline constexpr int kSuperBlock = 256;  // weights in a block of the K-quants

// The 32-weight formats with nibbles share one order: qs[j] holds the low four bits of weight j in
// bits 0-3 and those of weight j + 16 in bits 4-7. A fifth bit, where there is one, is bit k of the
// little-endian 32-bit number in qh.

struct Q4_0Block {  // weight = d * (code - 8)
  static constexpr TensorType kType = TensorType::kQ4_0;
  static constexpr int kSize = kSmallBlock;
  uint16_t d;
  uint8_t qs[16];
};

struct Q4_1Block {  // weight = d * code + m
  static constexpr TensorType kType = TensorType::kQ4_1;
  static constexpr int kSize = kSmallBlock;
  uint16_t d;
  uint16_t m;
  uint8_t qs[16];
};

struct Q5_0Block {  // weight = d * (code - 16)
  static constexpr TensorType kType = TensorType::kQ5_0;
  static constexpr int kSize = kSmallBlock;
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];
};

struct Q5_1Block {  // weight = d * code + m
  static constexpr TensorType kType = TensorType::kQ5_1;
  static constexpr int kSize = kSmallBlock;
  uint16_t d;
  uint16_t m;
  uint8_t qh[4];
  uint8_t qs[16];
};

struct Q8_0Block {  // weight = d * qs[k]
  static constexpr TensorType kType = TensorType::kQ8_0;
  static constexpr int kSize = kSmallBlock;
  uint16_t d;
  int8_t qs[32];
};

struct IQ4_NLBlock {  // weight = d * kIq4NlLevels[code]
  static constexpr TensorType kType = TensorType::kIQ4_NL;
  static constexpr int kSize = kSmallBlock;
  uint16_t d;
  uint8_t qs[16];
};

// K-quants. Two-bit parts (Q2_K, Q3_K): weight k's bits lie in qs[k / 128 * 32 + k % 32] from bit 2
// * (k % 128 / 32). Four-bit parts of Q4_K and Q5_K: in qs[k / 64 * 32 + k % 32], low nibble for
// even k / 32, high nibble for odd.

struct Q2_KBlock {  // weight = d * scale * code - m * min, scale and min per 16 weights
  static constexpr TensorType kType = TensorType::kQ2_K;
  static constexpr int kSize = kSuperBlock;
  uint8_t scales[16];  // group k / 16: scale in bits 0-3, min in bits 4-7
  uint8_t qs[64];
  uint16_t d;
  uint16_t m;
};

struct Q3_KBlock {  // weight = d * (scale - 32) * (code - 4), scale per 16 weights
  static constexpr TensorType kType = TensorType::kQ3_K;
  static constexpr int kSize = kSuperBlock;
  uint8_t hmask[32];  // the third bit of weight k: bit k / 32 of hmask[k % 32]
  uint8_t qs[64];
  uint8_t scales[12];  // see UnpackQ3Scales
  uint16_t d;
};

struct Q4_KBlock {  // weight = d * scale * code - m * min, scale and min per 32 weights
  static constexpr TensorType kType = TensorType::kQ4_K;
  static constexpr int kSize = kSuperBlock;
  uint16_t d;
  uint16_t m;
  uint8_t scales[12];  // see UnpackScalesAndMins
  uint8_t qs[128];
};

struct Q5_KBlock {  // weight = d * scale * code - m * min, scale and min per 32 weights
  static constexpr TensorType kType = TensorType::kQ5_K;
  static constexpr int kSize = kSuperBlock;
  uint16_t d;
  uint16_t m;
  uint8_t scales[12];  // see UnpackScalesAndMins
  uint8_t qh[32];      // the fifth bit of weight k: bit k / 32 of qh[k % 32]
  uint8_t qs[128];
};

struct Q6_KBlock {  // weight = d * scale * (code - 32), scale per 16 weights
  static constexpr TensorType kType = TensorType::kQ6_K;
  static constexpr int kSize = kSuperBlock;
  uint8_t ql[128];  // low four bits of weight k: ql[k / 128 * 64 + k % 64], low nibble for k % 128
                    // < 64, else high
  uint8_t
      qh[64];  // bits 4 and 5 of weight k: qh[k / 128 * 32 + k % 32] from bit 2 * (k % 128 / 32)
  int8_t scales[16];  // group k / 16
  uint16_t d;
};

static_assert(sizeof(Q4_0Block) == 18 && sizeof(Q4_1Block) == 20 && sizeof(Q5_0Block) == 22);
static_assert(sizeof(Q5_1Block) == 24 && sizeof(Q8_0Block) == 34 && sizeof(IQ4_NLBlock) == 18);
static_assert(sizeof(Q2_KBlock) == 84 && sizeof(Q3_KBlock) == 110 && sizeof(Q4_KBlock) == 144);
static_assert(sizeof(Q5_KBlock) == 176 && sizeof(Q6_KBlock) == 210);

// Requires: (index + 1) * sizeof(Block) <= row.size().
template <class Block>
Block LoadBlock(std::span<const std::byte> row, size_t index) {
  Block block;
  std::memcpy(&block, row.data() + index * sizeof(Block), sizeof(Block));
  return block;
}

template <class Block>
void StoreBlock(const Block& block, std::span<std::byte> row, size_t index) {
  std::memcpy(row.data() + index * sizeof(Block), &block, sizeof(Block));
}

// Q4_K and Q5_K: eight 6-bit scales and eight 6-bit mins in 12 bytes. Bytes 0-3 hold scales 0-3,
// bytes 4-7 mins 0-3, each in bits 0-5. Byte 8 + j holds the low four bits of scale 4 + j (bits
// 0-3) and of min 4 + j (bits 4-7); their upper two bits are bits 6-7 of byte j and of byte 4 + j.
struct ScalesAndMins {
  uint8_t scales[8];
  uint8_t mins[8];
};
ScalesAndMins UnpackScalesAndMins(const uint8_t (&packed)[12]);
void PackScalesAndMins(const ScalesAndMins& values, uint8_t (&packed)[12]);

// Q3_K: sixteen 6-bit scales in 12 bytes, stored with 32 added. The low four bits of scale j are in
// byte j % 8 (low nibble for j < 8, else high); its upper two bits are in byte 8 + j % 4 from bit 2
// * (j / 4).
void UnpackQ3Scales(const uint8_t (&packed)[12], uint8_t (&scales)[16]);
void PackQ3Scales(const uint8_t (&scales)[16], uint8_t (&packed)[12]);

}  // namespace hearth
