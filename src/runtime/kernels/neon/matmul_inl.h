#pragma once
// Integer products for NEON with the dot product instructions: one register is 4 rows x 4 inputs,
// so a strip's 16 rows are four quarters. sdot multiplies signed bytes, which codes of up to seven
// bits are as they stand, with a dword of activations that it takes from a lane: nothing need be
// broadcast. Each format's file defines a Format struct and includes this; everything is in an
// anonymous namespace.
//
// struct Format {
//   static constexpr hearth::StripFormat kFormat;
//   static constexpr bool kSignedCodes;     // codes in registers and panels are signed, the offset
//   already taken off static constexpr int kBlocks;           // blocks of 32 inputs per group
//   static constexpr int kGroupBytes;
//   struct Group;                           // what a group's header unpacks to, in registers or on
//   the stack static Group Open(const uint8_t* group); static void Block(const uint8_t* group,
//   const Group&, int b, int quarter, Weights& w);  // quarter q: rows 4q to 4q + 3
// };

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/kernels/many_tiles_inl.h"
#include "runtime/kernels/neon/formats.h"
#include "runtime/kernels/strip_format.h"

namespace {

using hearth::ActBlock;
using hearth::kFewColumns;
using hearth::PanelBlock;

// Four rows of a block of 32 inputs in registers.
struct Weights {
  int8x16_t codes[8];
  float32x4_t scale[2];
  float32x4_t min[2];
};

// Four rows' f16 values. `halves` points at the sixteen of the strip.
inline float32x4_t HalvesToFloat(const uint8_t* halves, int quarter) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(halves + 8 * quarter)));
}

inline uint8x8_t LoadFour(const uint8_t* bytes) {
  uint32_t bits;
  memcpy(&bits, bytes, sizeof bits);
  return vcreate_u8(bits);
}

inline float32x4_t FourToFloat(uint8x8_t four) {
  return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(four))));
}

inline float32x4_t BytesToFloat(const uint8_t* bytes, int quarter) {
  return FourToFloat(LoadFour(bytes + 4 * quarter));
}

inline float32x4_t SignedBytesToFloat(const uint8_t* bytes, int quarter) {
  const int8x8_t four = vreinterpret_s8_u8(LoadFour(bytes + 4 * quarter));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(four))));
}

// Four vectors of 64 bytes of nibbles: vector j holds group j low, group j + 4 high.
inline void LoadNibbles(const uint8_t* p, int quarter, int8x16_t codes[8]) {
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const uint8x16_t packed = vld1q_u8(p + 64 * j + 16 * quarter);
    codes[j] = vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(15)));
    codes[j + 4] = vreinterpretq_s8_u8(vshrq_n_u8(packed, 4));
  }
}

// codes |= the bits of `packed` that `kMask` selects at bit kFrom, moved to bit kTo.
template <unsigned kMask, int kFrom, int kTo>
inline void OrField(uint8x16_t packed, int8x16_t& codes) {
  uint8x16_t moved = packed;
  if constexpr (kTo > kFrom) moved = vshlq_n_u8(packed, kTo - kFrom);
  if constexpr (kTo < kFrom) moved = vshrq_n_u8(packed, kFrom - kTo);
  const uint8x16_t field = vandq_u8(moved, vdupq_n_u8(kMask << kTo));
  codes = vreinterpretq_s8_u8(vorrq_u8(vreinterpretq_u8_s8(codes), field));
}

// codes |= one bit for each group, moved to bit kTo: group g's is bit g.
template <int kTo>
inline void OrOneBit(uint8x16_t bits, int8x16_t codes[8]) {
  OrField<1, 0, kTo>(bits, codes[0]);
  OrField<1, 1, kTo>(bits, codes[1]);
  OrField<1, 2, kTo>(bits, codes[2]);
  OrField<1, 3, kTo>(bits, codes[3]);
  OrField<1, 4, kTo>(bits, codes[4]);
  OrField<1, 5, kTo>(bits, codes[5]);
  OrField<1, 6, kTo>(bits, codes[6]);
  OrField<1, 7, kTo>(bits, codes[7]);
}

// Two vectors of 64 bytes of two-bit codes: vector h holds groups 4h to 4h + 3.
inline void LoadTwoBits(const uint8_t* p, int quarter, int8x16_t codes[8]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const uint8x16_t packed = vld1q_u8(p + 64 * half + 16 * quarter), mask = vdupq_n_u8(3);
    int8x16_t* to = codes + 4 * half;
    to[0] = vreinterpretq_s8_u8(vandq_u8(packed, mask));
    to[1] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(packed, 2), mask));
    to[2] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(packed, 4), mask));
    to[3] = vreinterpretq_s8_u8(vshrq_n_u8(packed, 6));
  }
}

// What a sum over 32 inputs (which: 0) or over the first or second 16 (1, 2) starts from: -offset *
// sum of q.
template <class Format>
inline int32x4_t StartValue(const ActBlock& x, int which) {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  if constexpr (kTraits.offset_log2 < 0 || Format::kSignedCodes) {
    return vdupq_n_s32(0);
  } else {
    const int32_t* sums[] = {&x.neg_sum, &x.neg_sum0, &x.neg_sum1};
    return vshlq_n_s32(vdupq_n_s32(*sums[which]), kTraits.offset_log2);
  }
}

// sum plus the products of 16 inputs: four groups of four.
inline int32x4_t AddSixteen(const int8x16_t* codes, int8x16_t q, int32x4_t sum) {
  sum = vdotq_laneq_s32(sum, codes[0], q, 0);
  sum = vdotq_laneq_s32(sum, codes[1], q, 1);
  sum = vdotq_laneq_s32(sum, codes[2], q, 2);
  return vdotq_laneq_s32(sum, codes[3], q, 3);
}

// acc plus one block of one column.
template <class Format>
inline float32x4_t AddBlock(const Weights& w, const ActBlock& x, float32x4_t acc) {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  const int8x16_t q0 = vld1q_s8(x.q), q1 = vld1q_s8(x.q + 16);
  float32x4_t t;
  if constexpr (kTraits.scale_per_16) {
    const int32x4_t sum0 = AddSixteen(w.codes, q0, StartValue<Format>(x, 1));
    const int32x4_t sum1 = AddSixteen(w.codes + 4, q1, StartValue<Format>(x, 2));
    t = vfmaq_f32(vmulq_f32(w.scale[0], vcvtq_f32_s32(sum0)), w.scale[1], vcvtq_f32_s32(sum1));
  } else {
    const int32x4_t sum =
        AddSixteen(w.codes + 4, q1, AddSixteen(w.codes, q0, StartValue<Format>(x, 0)));
    t = vmulq_f32(w.scale[0], vcvtq_f32_s32(sum));
  }
  acc = vfmaq_f32(acc, t, vdupq_n_f32(x.d));
  if constexpr (kTraits.has_min) {
    acc = vfmaq_f32(acc, w.min[0], vdupq_n_f32(kTraits.scale_per_16 ? x.s0 : x.s));
    if constexpr (kTraits.scale_per_16) acc = vfmaq_f32(acc, w.min[1], vdupq_n_f32(x.s1));
  }
  return acc;
}

template <class Format, int kColumns>
void FewColumns(const uint8_t* strip, int num_blocks, const ActBlock* tile, float* out,
                size_t out_stride) {
  float32x4_t acc[4][kColumns];
  for (auto& quarter : acc) {
    for (float32x4_t& sum : quarter) sum = vdupq_n_f32(0);
  }
  for (int block = 0; block < num_blocks; block += Format::kBlocks, strip += Format::kGroupBytes) {
    const typename Format::Group group = Format::Open(strip);
#pragma GCC unroll 1
    for (int b = 0; b < Format::kBlocks; ++b, tile += kColumns) {
#pragma GCC unroll 4
      for (int quarter = 0; quarter < 4; ++quarter) {
        Weights w;
        Format::Block(strip, group, b, quarter, w);
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c)
          acc[quarter][c] = AddBlock<Format>(w, tile[c], acc[quarter][c]);
      }
    }
  }
  for (int c = 0; c < kColumns; ++c) {
    for (int quarter = 0; quarter < 4; ++quarter)
      vst1q_f32(out + c * out_stride + 4 * quarter, acc[quarter][c]);
  }
}

template <class Format>
void Few(const std::byte* strip, int num_blocks, const ActBlock* tile, int num_columns, float* out,
         size_t out_stride) noexcept {
  using Function = void (*)(const uint8_t*, int, const ActBlock*, float*, size_t);
  static constexpr Function kByColumns[kFewColumns] = {
      FewColumns<Format, 1>, FewColumns<Format, 2>, FewColumns<Format, 3>, FewColumns<Format, 4>,
      FewColumns<Format, 5>, FewColumns<Format, 6>, FewColumns<Format, 7>, FewColumns<Format, 8>};
  kByColumns[num_columns - 1](reinterpret_cast<const uint8_t*>(strip), num_blocks, tile, out,
                              out_stride);
}

template <class Format>
void Unpack(const std::byte* bytes, int num_blocks, PanelBlock* panel) noexcept {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  const auto* strip = reinterpret_cast<const uint8_t*>(bytes);
  for (int block = 0; block < num_blocks; block += Format::kBlocks, strip += Format::kGroupBytes) {
    const typename Format::Group group = Format::Open(strip);
#pragma GCC unroll 1
    for (int b = 0; b < Format::kBlocks; ++b, ++panel) {
#pragma GCC unroll 4
      for (int quarter = 0; quarter < 4; ++quarter) {
        Weights w;
        Format::Block(strip, group, b, quarter, w);
#pragma GCC unroll 8
        for (int g = 0; g < 8; ++g)
          vst1q_u8(panel->codes[g] + 16 * quarter, vreinterpretq_u8_s8(w.codes[g]));
        vst1q_f32(panel->scale[0] + 4 * quarter, w.scale[0]);
        if constexpr (kTraits.scale_per_16) vst1q_f32(panel->scale[1] + 4 * quarter, w.scale[1]);
        if constexpr (kTraits.has_min) vst1q_f32(panel->min[0] + 4 * quarter, w.min[0]);
        if constexpr (kTraits.has_min && kTraits.scale_per_16)
          vst1q_f32(panel->min[1] + 4 * quarter, w.min[1]);
      }
    }
  }
}

// The products of group kGroup (of the four in q) of kColumns columns, all 16 rows.
template <int kGroup, int kColumns>
inline void AddGroup(const uint8_t* codes, const int8x16_t* q, int32x4_t (*sum)[kColumns]) {
#pragma GCC unroll 4
  for (int quarter = 0; quarter < 4; ++quarter) {
    const int8x16_t weights = vreinterpretq_s8_u8(vld1q_u8(codes + 16 * quarter));
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c)
      sum[quarter][c] = vdotq_laneq_s32(sum[quarter][c], weights, q[c], kGroup);
  }
}

// One block of kColumns columns, all 16 rows: with four columns sixteen sums, four activation
// registers and a weight register are live. The float accumulators wait in memory meanwhile.
template <class Format, int kColumns>
inline void AddPanelBlock(const PanelBlock& panel, const ActBlock* tile,
                          float32x4_t (*acc)[kColumns]) {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  float32x4_t t[4][kColumns];
  int32x4_t sum[4][kColumns];
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    if (half == 0 || kTraits.scale_per_16) {
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) {
        const int32x4_t start = StartValue<Format>(tile[c], kTraits.scale_per_16 ? 1 + half : 0);
        sum[0][c] = sum[1][c] = sum[2][c] = sum[3][c] = start;
      }
    }
    int8x16_t q[kColumns];
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) q[c] = vld1q_s8(tile[c].q + 16 * half);
    AddGroup<0>(panel.codes[4 * half], q, sum);
    AddGroup<1>(panel.codes[4 * half + 1], q, sum);
    AddGroup<2>(panel.codes[4 * half + 2], q, sum);
    AddGroup<3>(panel.codes[4 * half + 3], q, sum);
    if (half == 0 && !kTraits.scale_per_16) continue;
#pragma GCC unroll 4
    for (int quarter = 0; quarter < 4; ++quarter) {
      const bool first = half == 0 || !kTraits.scale_per_16;
      const float32x4_t scale = vld1q_f32(panel.scale[first ? 0 : 1] + 4 * quarter);
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) {
        const float32x4_t product = vcvtq_f32_s32(sum[quarter][c]);
        t[quarter][c] =
            first ? vmulq_f32(scale, product) : vfmaq_f32(t[quarter][c], scale, product);
      }
    }
  }
#pragma GCC unroll 4
  for (int quarter = 0; quarter < 4; ++quarter) {
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      const ActBlock& x = tile[c];
      float32x4_t total = vfmaq_f32(acc[quarter][c], t[quarter][c], vdupq_n_f32(x.d));
      if constexpr (kTraits.has_min) {
        total = vfmaq_f32(total, vld1q_f32(panel.min[0] + 4 * quarter),
                          vdupq_n_f32(kTraits.scale_per_16 ? x.s0 : x.s));
        if constexpr (kTraits.scale_per_16) {
          total = vfmaq_f32(total, vld1q_f32(panel.min[1] + 4 * quarter), vdupq_n_f32(x.s1));
        }
      }
      acc[quarter][c] = total;
    }
  }
}

template <class Format, int kColumns>
void ManyColumns(const PanelBlock* panel, int num_blocks, const ActBlock* tile, int tile_columns,
                 float* out, size_t out_stride, Ahead& ahead) {
  float32x4_t acc[4][kColumns];
  for (auto& quarter : acc) {
    for (float32x4_t& sum : quarter) sum = vdupq_n_f32(0);
  }
  for (int block = 0; block < num_blocks; ++block, tile += tile_columns) {
    ahead.Step();
    AddPanelBlock<Format, kColumns>(panel[block], tile, acc);
  }
  for (int c = 0; c < kColumns; ++c) {
    for (int quarter = 0; quarter < 4; ++quarter)
      vst1q_f32(out + c * out_stride + 4 * quarter, acc[quarter][c]);
  }
}

template <class Format>
void ManyOfTile(const PanelBlock* panel, int num_blocks, const ActBlock* tile, int num_columns,
                float* out, size_t out_stride, Ahead& ahead) {
  constexpr int kAtOnce = 4;
  using Function = void (*)(const PanelBlock*, int, const ActBlock*, int, float*, size_t, Ahead&);
  static constexpr Function kByColumns[kAtOnce] = {ManyColumns<Format, 1>, ManyColumns<Format, 2>,
                                                   ManyColumns<Format, 3>, ManyColumns<Format, 4>};
  for (int c = 0; c < num_columns; c += kAtOnce) {
    const int columns = num_columns - c < kAtOnce ? num_columns - c : kAtOnce;
    kByColumns[columns - 1](panel, num_blocks, tile + c, num_columns, out + c * out_stride,
                            out_stride, ahead);
  }
}

template <class Format>
constexpr hearth::MatmulKernels MakeKernels() {
  return {Few<Format>, Unpack<Format>, Many<ManyOfTile<Format>>};
}

}  // namespace
