#include "runtime/quant/strip.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "runtime/quant/quant.h"

namespace hearth {
namespace {

constexpr size_t kRows = kStripRows;
constexpr size_t kVector = 64;         // 16 rows x 4 inputs
constexpr size_t kHalves = 2 * kRows;  // 16 f16 values
constexpr size_t kNibbles = 4 * kVector;
constexpr int kGroupsPerBlock = 8;  // groups of four inputs in a block of 32

uint8_t U8(const std::byte* p, size_t i) { return std::to_integer<uint8_t>(p[i]); }
std::byte* At(std::byte* p, size_t i) { return p + i; }

// Byte of a (group, input, row) code inside a run of 8 vectors.
size_t CodeByte(int k, int row) {
  return static_cast<size_t>(row) * 4 + static_cast<size_t>(k % 4);
}

// Where the parts of a block of 32 inputs lie. Sizes of zero: the type has no such part.
struct BlockParts {
  size_t bits8 = 0;  // whole codes, 8 vectors
  size_t low4 = 0;   // nibbles: vector j holds group j in the low, group j + 4 in the high halves
  size_t low2 = 0;   // two bits: vector h holds groups 4h..4h+3 at bits 0, 2, 4, 6
  size_t high1 = 0;  // the fifth (or third) bit: one vector, bit g of a byte is group g's
  size_t high2 = 0;  // bits 4 and 5: laid out as low2
};

// How many bits of a code the low part carries.
struct TypeLayout {
  int blocks_per_group = 1;  // blocks of 32 that share the header
  size_t header_bytes = 0;   // before the blocks of a group
  bool has_low4 = false, has_low2 = false, has_high1 = false, has_high2 = false, has_bits8 = false;

  size_t block_bytes() const {
    return (has_bits8 ? 8 * kVector : 0) + (has_low4 ? kNibbles : 0) +
           (has_low2 ? 2 * kVector : 0) + (has_high1 ? kVector : 0) + (has_high2 ? 2 * kVector : 0);
  }
  size_t group_bytes() const {
    return header_bytes + static_cast<size_t>(blocks_per_group) * block_bytes();
  }
};

TypeLayout LayoutOf(TensorType type) {
  TypeLayout layout;
  switch (type) {
    case TensorType::kQ4_0:
    case TensorType::kIQ4_NL:
      layout.header_bytes = kHalves;
      layout.has_low4 = true;
      break;
    case TensorType::kQ4_1:
      layout.header_bytes = 2 * kHalves;
      layout.has_low4 = true;
      break;
    case TensorType::kQ5_0:
      layout.header_bytes = kHalves;
      layout.has_low4 = layout.has_high1 = true;
      break;
    case TensorType::kQ5_1:
      layout.header_bytes = 2 * kHalves;
      layout.has_low4 = layout.has_high1 = true;
      break;
    case TensorType::kQ8_0:
      layout.header_bytes = kHalves;
      layout.has_bits8 = true;
      break;
    case TensorType::kQ2_K:
      layout.blocks_per_group = 8;
      layout.header_bytes = 2 * kHalves + 16 * kRows;
      layout.has_low2 = true;
      break;
    case TensorType::kQ3_K:
      layout.blocks_per_group = 8;
      layout.header_bytes = kHalves + 12 * kRows;
      layout.has_low2 = layout.has_high1 = true;
      break;
    case TensorType::kQ4_K:
      layout.blocks_per_group = 8;
      layout.header_bytes = 2 * kHalves + 12 * kRows;
      layout.has_low4 = true;
      break;
    case TensorType::kQ5_K:
      layout.blocks_per_group = 8;
      layout.header_bytes = 2 * kHalves + 12 * kRows;
      layout.has_low4 = layout.has_high1 = true;
      break;
    case TensorType::kQ6_K:
      layout.blocks_per_group = 8;
      layout.header_bytes = kHalves + 16 * kRows;
      layout.has_low4 = layout.has_high2 = true;
      break;
    case TensorType::kF32:
    case TensorType::kF16:
    case TensorType::kBF16:
      HEARTH_CHECK(false);
  }
  return layout;
}

bool IsFloatType(TensorType type) {
  return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
}

// One group (32 or 256 inputs) of one row, taken apart: unsigned codes and the header's values.
struct RowGroup {
  uint8_t codes[256] = {};
  uint16_t d = 0;           // f16 bits
  uint16_t m = 0;           // f16 bits of the min (Q4_1, Q5_1) or of dmin
  uint8_t scales[16] = {};  // 6-bit, 4+4-bit or signed 8-bit, by type
  uint8_t mins[8] = {};     // 6-bit (Q4_K, Q5_K)
};

uint16_t Half(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return bits;
}

void TakeNibbles(const std::byte* qs, uint8_t* codes) {
  for (size_t i = 0; i < 16; ++i) {
    codes[i] = U8(qs, i) & 15;
    codes[i + 16] = U8(qs, i) >> 4;
  }
}

void TakeFifthBits(const std::byte* qh, uint8_t* codes) {
  uint32_t bits;
  std::memcpy(&bits, qh, sizeof bits);
  for (int i = 0; i < 32; ++i) codes[i] |= static_cast<uint8_t>(((bits >> i) & 1) << 4);
}

// The 12 bytes of eight 6-bit scales and eight 6-bit mins, as Q4_K and Q5_K share them.
void TakeSixBitScales(const std::byte* packed, RowGroup& group) {
  for (size_t j = 0; j < 8; ++j) {
    if (j < 4) {
      group.scales[j] = U8(packed, j) & 63;
      group.mins[j] = U8(packed, j + 4) & 63;
    } else {
      group.scales[j] =
          static_cast<uint8_t>((U8(packed, j + 4) & 15) | ((U8(packed, j - 4) >> 6) << 4));
      group.mins[j] = static_cast<uint8_t>((U8(packed, j + 4) >> 4) | ((U8(packed, j) >> 6) << 4));
    }
  }
}

void TakeQ4KCodes(const std::byte* qs, uint8_t* codes) {
  for (size_t i = 0; i < 128; ++i) {
    const size_t base = i / 32 * 64 + i % 32;
    codes[base] = U8(qs, i) & 15;
    codes[base + 32] = U8(qs, i) >> 4;
  }
}

RowGroup TakeApart(TensorType type, const std::byte* p) {
  RowGroup group;
  switch (type) {
    case TensorType::kQ4_0:
    case TensorType::kIQ4_NL:
      group.d = Half(p);
      TakeNibbles(p + 2, group.codes);
      break;
    case TensorType::kQ4_1:
      group.d = Half(p);
      group.m = Half(p + 2);
      TakeNibbles(p + 4, group.codes);
      break;
    case TensorType::kQ5_0:
      group.d = Half(p);
      TakeNibbles(p + 6, group.codes);
      TakeFifthBits(p + 2, group.codes);
      break;
    case TensorType::kQ5_1:
      group.d = Half(p);
      group.m = Half(p + 2);
      TakeNibbles(p + 8, group.codes);
      TakeFifthBits(p + 4, group.codes);
      break;
    case TensorType::kQ8_0:
      group.d = Half(p);
      for (size_t i = 0; i < 32; ++i) group.codes[i] = U8(p, 2 + i) ^ 0x80;
      break;
    case TensorType::kQ2_K:
      for (size_t i = 0; i < 16; ++i) group.scales[i] = U8(p, i);
      for (size_t i = 0; i < 256; ++i) {
        group.codes[i] = (U8(p, 16 + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2)) & 3;
      }
      group.d = Half(p + 80);
      group.m = Half(p + 82);
      break;
    case TensorType::kQ3_K: {
      for (size_t i = 0; i < 256; ++i) {
        const int low = (U8(p, 32 + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2)) & 3;
        const int high = (U8(p, i % 32) >> (i / 32)) & 1;
        group.codes[i] = static_cast<uint8_t>(low | high << 2);
      }
      const std::byte* packed = p + 96;
      for (size_t i = 0; i < 16; ++i) {
        const int low = i < 8 ? U8(packed, i) & 15 : U8(packed, i - 8) >> 4;
        const int high = (U8(packed, 8 + i % 4) >> (i / 4 * 2)) & 3;
        group.scales[i] = static_cast<uint8_t>(low | high << 4);
      }
      group.d = Half(p + 108);
      break;
    }
    case TensorType::kQ4_K:
      group.d = Half(p);
      group.m = Half(p + 2);
      TakeSixBitScales(p + 4, group);
      TakeQ4KCodes(p + 16, group.codes);
      break;
    case TensorType::kQ5_K:
      group.d = Half(p);
      group.m = Half(p + 2);
      TakeSixBitScales(p + 4, group);
      TakeQ4KCodes(p + 48, group.codes);
      for (size_t i = 0; i < 256; ++i) {
        group.codes[i] |= static_cast<uint8_t>(((U8(p, 16 + i % 32) >> (i / 32)) & 1) << 4);
      }
      break;
    case TensorType::kQ6_K:
      for (size_t i = 0; i < 256; ++i) {
        const size_t half = i / 128, quarter = i % 128 / 32, l = i % 32;
        const uint8_t low = U8(p, half * 64 + (quarter % 2) * 32 + l);
        const uint8_t high = U8(p, 128 + half * 32 + l);
        group.codes[i] = static_cast<uint8_t>((quarter < 2 ? low & 15 : low >> 4) |
                                              ((high >> (2 * quarter)) & 3) << 4);
      }
      for (size_t i = 0; i < 16; ++i) group.scales[i] = U8(p, 192 + i);
      group.d = Half(p + 208);
      break;
    case TensorType::kF32:
    case TensorType::kF16:
    case TensorType::kBF16:
      HEARTH_CHECK(false);
  }
  return group;
}

// A group whose dequantised weights are all zero: pads the last strip. Q4_0 and friends have scale
// zero; so do the others.
RowGroup ZeroGroup() { return {}; }

void PutHalf(std::byte* at, int row, uint16_t bits) { std::memcpy(at + 2 * row, &bits, 2); }

void OrByte(std::byte* at, unsigned bits) { *at |= static_cast<std::byte>(bits); }

// Sixteen 6-bit vectors of 16 rows in 12 x 16 bytes: vectors 0-11 in the low six bits, vectors
// 12-15 two bits at a time in the top bits of vectors 0-3 (bits 0, 1), 4-7 (bits 2, 3) and 8-11
// (bits 4, 5).
void PutSixBit(std::byte* at, int vector, int row, uint8_t value) {
  if (vector < 12) {
    OrByte(at + vector * 16 + row, value & 63u);
    return;
  }
  const int lane = vector - 12;
  for (int part = 0; part < 3; ++part) {
    OrByte(at + (part * 4 + lane) * 16 + row, ((value >> (2 * part)) & 3u) << 6);
  }
}

void PutHeader(TensorType type, const RowGroup& group, int row, std::byte* at) {
  PutHalf(at, row, group.d);
  switch (type) {
    case TensorType::kQ4_1:
    case TensorType::kQ5_1:
      PutHalf(at + kHalves, row, group.m);
      break;
    case TensorType::kQ4_K:
    case TensorType::kQ5_K:
      PutHalf(at + kHalves, row, group.m);
      for (int i = 0; i < 8; ++i) {
        PutSixBit(at + 2 * kHalves, i, row, group.scales[i]);
        PutSixBit(at + 2 * kHalves, 8 + i, row, group.mins[i]);
      }
      break;
    case TensorType::kQ2_K:
      PutHalf(at + kHalves, row, group.m);
      for (int i = 0; i < 16; ++i) OrByte(at + 2 * kHalves + i * 16 + row, group.scales[i]);
      break;
    case TensorType::kQ3_K:
      for (int i = 0; i < 16; ++i) PutSixBit(at + kHalves, i, row, group.scales[i]);
      break;
    case TensorType::kQ6_K:
      for (int i = 0; i < 16; ++i) OrByte(at + kHalves + i * 16 + row, group.scales[i]);
      break;
    default:
      break;
  }
}

BlockParts PartsOf(const TypeLayout& layout) {
  BlockParts parts;
  size_t offset = 0;
  if (layout.has_high1) parts.high1 = offset, offset += kVector;
  if (layout.has_high2) parts.high2 = offset, offset += 2 * kVector;
  if (layout.has_low2) parts.low2 = offset, offset += 2 * kVector;
  if (layout.has_low4) parts.low4 = offset, offset += kNibbles;
  if (layout.has_bits8) parts.bits8 = offset;
  return parts;
}

void PutBlock(const TypeLayout& layout, const uint8_t* codes, int row, std::byte* at) {
  const BlockParts parts = PartsOf(layout);
  const int high_shift = layout.has_low4 ? 4 : 2;
  for (int k = 0; k < 32; ++k) {
    const int group = k / 4;
    const size_t byte = CodeByte(k, row);
    const unsigned code = codes[k];
    if (layout.has_bits8) OrByte(At(at, parts.bits8 + group * kVector + byte), code);
    if (layout.has_low4) {
      OrByte(At(at, parts.low4 + (group % 4) * kVector + byte), (code & 15u)
                                                                    << (group < 4 ? 0 : 4));
    }
    if (layout.has_low2) {
      OrByte(At(at, parts.low2 + (group / 4) * kVector + byte), (code & 3u) << (2 * (group % 4)));
    }
    if (layout.has_high1) OrByte(At(at, parts.high1 + byte), ((code >> high_shift) & 1u) << group);
    if (layout.has_high2) {
      OrByte(At(at, parts.high2 + (group / 4) * kVector + byte), ((code >> high_shift) & 3u)
                                                                     << (2 * (group % 4)));
    }
  }
}

unsigned GetCode(const TypeLayout& layout, const std::byte* at, int k, int row) {
  const BlockParts parts = PartsOf(layout);
  const size_t group = static_cast<size_t>(k) / 4;
  const size_t byte = CodeByte(k, row);
  const int high_shift = layout.has_low4 ? 4 : 2;
  unsigned code = 0;
  if (layout.has_bits8) code = U8(at, parts.bits8 + group * kVector + byte);
  if (layout.has_low4)
    code = (U8(at, parts.low4 + group % 4 * kVector + byte) >> (group < 4 ? 0 : 4)) & 15u;
  if (layout.has_low2)
    code = (U8(at, parts.low2 + group / 4 * kVector + byte) >> (2 * (group % 4))) & 3u;
  if (layout.has_high1) code |= ((U8(at, parts.high1 + byte) >> group) & 1u) << high_shift;
  if (layout.has_high2)
    code |= ((U8(at, parts.high2 + group / 4 * kVector + byte) >> (2 * (group % 4))) & 3u)
            << high_shift;
  return code;
}

unsigned GetSixBit(const std::byte* at, int vector, int row) {
  if (vector < 12) return U8(at, static_cast<size_t>(vector) * 16 + row) & 63u;
  unsigned value = 0;
  for (int part = 0; part < 3; ++part) {
    value |=
        static_cast<unsigned>(U8(at, static_cast<size_t>(part * 4 + vector - 12) * 16 + row) >> 6)
        << (2 * part);
  }
  return value;
}

// Scale and min of one row for half a block. Types with one scale per 32 give the same for both
// halves.
void UnpackScale(TensorType type, const std::byte* header, int block_in_group, int half, int row,
                 float* scale, float* min) {
  const float d = HalfToFloat(Half(header + 2 * row));
  const auto second = [&] { return HalfToFloat(Half(header + kHalves + 2 * row)); };
  const int sixteenth = block_in_group * 2 + half;
  *min = 0;
  switch (type) {
    case TensorType::kQ4_1:
    case TensorType::kQ5_1:
      *scale = d;
      *min = second();
      break;
    case TensorType::kQ4_K:
    case TensorType::kQ5_K:
      *scale = d * static_cast<float>(GetSixBit(header + 2 * kHalves, block_in_group, row));
      *min = -(second() *
               static_cast<float>(GetSixBit(header + 2 * kHalves, 8 + block_in_group, row)));
      break;
    case TensorType::kQ2_K: {
      const unsigned sm = U8(header, 2 * kHalves + static_cast<size_t>(sixteenth) * 16 + row);
      *scale = d * static_cast<float>(sm & 15);
      *min = -(second() * static_cast<float>(sm >> 4));
      break;
    }
    case TensorType::kQ3_K:
      *scale = d * static_cast<float>(
                       static_cast<int>(GetSixBit(header + kHalves, sixteenth, row)) - 32);
      break;
    case TensorType::kQ6_K:
      *scale = d * static_cast<float>(static_cast<int8_t>(
                       U8(header, kHalves + static_cast<size_t>(sixteenth) * 16 + row)));
      break;
    default:
      *scale = d;
      break;
  }
}

// One block of 32 dequantised: the same float operations, in the same order, as DequantizeRow.
void DequantizeBlock(TensorType type, const TypeLayout& layout, const std::byte* header,
                     const std::byte* block, int block_in_group, int row, float* out) {
  const float d = HalfToFloat(Half(header + 2 * row));
  const auto second = [&] { return HalfToFloat(Half(header + kHalves + 2 * row)); };
  for (int k = 0; k < 32; ++k) {
    const int code = static_cast<int>(GetCode(layout, block, k, row));
    const int sixteenth = block_in_group * 2 + k / 16;
    switch (type) {
      case TensorType::kQ4_0:
        out[k] = static_cast<float>(code - 8) * d;
        break;
      case TensorType::kIQ4_NL:
        out[k] = d * kIq4NlLevels[code];
        break;
      case TensorType::kQ4_1:
      case TensorType::kQ5_1:
        out[k] = static_cast<float>(code) * d + second();
        break;
      case TensorType::kQ5_0:
        out[k] = static_cast<float>(code - 16) * d;
        break;
      case TensorType::kQ8_0:
        out[k] = static_cast<float>(code - 128) * d;
        break;
      case TensorType::kQ2_K: {
        const unsigned sm = U8(header, 2 * kHalves + static_cast<size_t>(sixteenth) * 16 + row);
        out[k] = d * static_cast<float>(sm & 15) * static_cast<float>(code) -
                 second() * static_cast<float>(sm >> 4);
        break;
      }
      case TensorType::kQ3_K: {
        const int scale = static_cast<int>(GetSixBit(header + kHalves, sixteenth, row)) - 32;
        out[k] = d * static_cast<float>(scale) * static_cast<float>(code - 4);
        break;
      }
      case TensorType::kQ4_K:
      case TensorType::kQ5_K: {
        const float scale =
            d * static_cast<float>(GetSixBit(header + 2 * kHalves, block_in_group, row));
        const float min =
            second() * static_cast<float>(GetSixBit(header + 2 * kHalves, 8 + block_in_group, row));
        out[k] = scale * static_cast<float>(code) - min;
        break;
      }
      case TensorType::kQ6_K: {
        const auto scale =
            static_cast<int8_t>(U8(header, kHalves + static_cast<size_t>(sixteenth) * 16 + row));
        out[k] = d * static_cast<float>(scale) * static_cast<float>(code - 32);
        break;
      }
      default:
        HEARTH_CHECK(false);
    }
  }
}

void PackFloatStrip(TensorType type, std::span<const std::byte> rows, int num_rows,
                    size_t num_columns, std::span<std::byte> strip) {
  const size_t element = InfoOf(type).block_bytes;
  const size_t row_bytes = num_columns * element;
  for (size_t k = 0; k < num_columns; ++k) {
    for (int row = 0; row < num_rows; ++row) {
      std::memcpy(&strip[(k * kRows + row) * element], &rows[row * row_bytes + k * element],
                  element);
    }
  }
}

float FloatAt(TensorType type, const std::byte* p) {
  if (type == TensorType::kF32) {
    float value;
    std::memcpy(&value, p, sizeof value);
    return value;
  }
  return type == TensorType::kF16 ? HalfToFloat(Half(p)) : Bfloat16ToFloat(Half(p));
}

}  // namespace

void UnpackStrip(TensorType type, std::span<const std::byte> strip, size_t num_columns,
                 StripBlock* blocks) {
  HEARTH_CHECK(strip.size() == StripBytes(type, num_columns));
  const TypeLayout layout = LayoutOf(type);
  for (size_t b = 0; b < num_columns / 32; ++b) {
    const int in_group = static_cast<int>(b % layout.blocks_per_group);
    const std::byte* header = &strip[b / layout.blocks_per_group * layout.group_bytes()];
    const std::byte* codes = header + layout.header_bytes + in_group * layout.block_bytes();
    StripBlock& block = blocks[b];
    for (int row = 0; row < kStripRows; ++row) {
      for (int k = 0; k < 32; ++k) {
        const unsigned code = GetCode(layout, codes, k, row);
        block.codes[k / 4][CodeByte(k, row)] = static_cast<uint8_t>(
            type == TensorType::kIQ4_NL ? kIq4NlLevels[code] + 128 : static_cast<int>(code));
      }
      for (int half = 0; half < 2; ++half) {
        UnpackScale(type, header, in_group, half, row, &block.scale[half][row],
                    &block.min[half][row]);
      }
    }
  }
}

size_t StripBytes(TensorType type, size_t num_columns) {
  return kStripRows * RowBytes(type, num_columns);
}

void PackStrip(TensorType type, std::span<const std::byte> rows, int num_rows, size_t num_columns,
               std::span<std::byte> strip) {
  const size_t row_bytes = RowBytes(type, num_columns);
  HEARTH_CHECK(num_rows >= 1 && num_rows <= kStripRows && rows.size() == num_rows * row_bytes);
  HEARTH_CHECK(strip.size() == StripBytes(type, num_columns));
  std::ranges::fill(strip, std::byte{0});
  if (IsFloatType(type)) return PackFloatStrip(type, rows, num_rows, num_columns, strip);

  const TypeLayout layout = LayoutOf(type);
  const size_t file_group_bytes = InfoOf(type).block_bytes;
  const size_t num_groups = row_bytes / file_group_bytes;
  HEARTH_CHECK(num_groups * layout.group_bytes() == strip.size());
  for (int row = 0; row < kStripRows; ++row) {
    for (size_t g = 0; g < num_groups; ++g) {
      const RowGroup group = row < num_rows
                                 ? TakeApart(type, &rows[row * row_bytes + g * file_group_bytes])
                                 : ZeroGroup();
      std::byte* at = &strip[g * layout.group_bytes()];
      PutHeader(type, group, row, at);
      for (int b = 0; b < layout.blocks_per_group; ++b) {
        PutBlock(layout, group.codes + 32 * b, row,
                 at + layout.header_bytes + b * layout.block_bytes());
      }
    }
  }
}

void DequantizeStripRow(TensorType type, std::span<const std::byte> strip, int row,
                        std::span<float> out) {
  HEARTH_CHECK(row >= 0 && row < kStripRows && strip.size() == StripBytes(type, out.size()));
  if (IsFloatType(type)) {
    const size_t element = InfoOf(type).block_bytes;
    for (size_t k = 0; k < out.size(); ++k)
      out[k] = FloatAt(type, &strip[(k * kRows + row) * element]);
    return;
  }
  const TypeLayout layout = LayoutOf(type);
  for (size_t block = 0; block < out.size() / 32; ++block) {
    const size_t group = block / layout.blocks_per_group;
    const int in_group = static_cast<int>(block % layout.blocks_per_group);
    const std::byte* header = &strip[group * layout.group_bytes()];
    DequantizeBlock(type, layout, header,
                    header + layout.header_bytes + in_group * layout.block_bytes(), in_group, row,
                    &out[block * 32]);
  }
}

}  // namespace hearth
