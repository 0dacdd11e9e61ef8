#pragma once
// What the integer products of all 256-bit tables share: one ymm is 8 rows x 4 inputs, so a strip's
// 16 rows are done in two halves. Each format's NAME_inl.h defines a Format struct over these;
// matmul_inl.h of a table's folder multiplies what it unpacks. Everything is in an anonymous
// namespace.
//
// struct Format {
//   static constexpr hearth::StripFormat kFormat;
//   static constexpr int kCodeBits;    // 8: the codes in registers and panels are signed, the
//                                      // offset already taken off
//   static constexpr int kBlocks;      // blocks of 32 inputs per group
//   static constexpr int kGroupBytes;
//   struct Group;                      // what a group's header unpacks to
//   static Group Open(const uint8_t* group);
//   // rows 0: 0-7, 1: 8-15
//   static void Block(const uint8_t* group, const Group&, int b, int rows, Weights& w);
// };

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/kernels/kernels.h"
#include "runtime/kernels/strip_format.h"

namespace {

using hearth::ActBlock;
using hearth::PanelBlock;

// Eight rows of a block of 32 inputs in registers.
struct Weights {
  __m256i codes[8];
  __m256 scale[2];
  __m256 min[2];
};

inline __m256i BroadcastDword(const void* p) {
  int32_t bits;
  memcpy(&bits, p, sizeof bits);
  return _mm256_set1_epi32(bits);
}

inline __m256i LoadVector(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

// Eight rows' f16 values. `halves` points at the sixteen of the strip.
inline __m256 HalvesToFloat(const uint8_t* halves, int rows) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + 16 * rows)));
}

inline __m256 BytesToFloat(const uint8_t* bytes, int rows) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + 8 * rows))));
}

// Four vectors of 64 bytes of nibbles: vector j holds group j low, group j + 4 high.
inline void LoadNibbles(const uint8_t* p, int rows, __m256i codes[8]) {
  const __m256i mask = _mm256_set1_epi8(15);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m256i packed = LoadVector(p + 64 * j + 32 * rows);
    codes[j] = _mm256_and_si256(packed, mask);
    codes[j + 4] = _mm256_and_si256(_mm256_srli_epi16(packed, 4), mask);
  }
}

// Two-bit fields, shifted to bit kShift: a vector holds four groups.
template <int kShift>
inline __m256i TwoBits(__m256i packed, int group_in_vector) {
  const __m256i mask = _mm256_set1_epi8(3 << kShift);
  const int shift = kShift - 2 * group_in_vector;
  const __m256i moved =
      shift >= 0 ? _mm256_slli_epi16(packed, shift) : _mm256_srli_epi16(packed, -shift);
  return _mm256_and_si256(moved, mask);
}

// One bit per group, shifted to bit kShift.
template <int kShift>
inline __m256i OneBit(__m256i packed, int group) {
  const __m256i mask = _mm256_set1_epi8(1 << kShift);
  const int shift = kShift - group;
  const __m256i moved =
      shift >= 0 ? _mm256_slli_epi16(packed, shift) : _mm256_srli_epi16(packed, -shift);
  return _mm256_and_si256(moved, mask);
}

// What a sum over 32 inputs (which: 0) or over the first or second 16 (1, 2) starts from: -offset *
// sum of q.
template <class Format>
inline __m256i StartValue(const ActBlock& x, int which) {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  if constexpr (kTraits.offset_log2 < 0 || Format::kCodeBits == 8) {
    return _mm256_setzero_si256();
  } else {
    const int32_t* sums[] = {&x.neg_sum, &x.neg_sum0, &x.neg_sum1};
    return _mm256_slli_epi32(_mm256_set1_epi32(*sums[which]), kTraits.offset_log2);
  }
}

// Eight rows of a block into their half of a panel's.
template <class Format>
inline void StoreWeights(const Weights& w, int rows, PanelBlock* panel) {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
#pragma GCC unroll 8
  for (int g = 0; g < 8; ++g)
    _mm256_store_si256(reinterpret_cast<__m256i*>(panel->codes[g] + 32 * rows), w.codes[g]);
  _mm256_store_ps(panel->scale[0] + 8 * rows, w.scale[0]);
  if constexpr (kTraits.scale_per_16) _mm256_store_ps(panel->scale[1] + 8 * rows, w.scale[1]);
  if constexpr (kTraits.has_min) _mm256_store_ps(panel->min[0] + 8 * rows, w.min[0]);
  if constexpr (kTraits.has_min && kTraits.scale_per_16)
    _mm256_store_ps(panel->min[1] + 8 * rows, w.min[1]);
}

template <class Format>
void Unpack(const std::byte* bytes, int num_blocks, PanelBlock* panel) noexcept {
  const auto* strip = reinterpret_cast<const uint8_t*>(bytes);
  for (int block = 0; block < num_blocks; block += Format::kBlocks, strip += Format::kGroupBytes) {
    const typename Format::Group group = Format::Open(strip);
#pragma GCC unroll 1
    for (int b = 0; b < Format::kBlocks; ++b, ++panel) {
#pragma GCC unroll 2
      for (int rows = 0; rows < 2; ++rows) {
        Weights w;
        Format::Block(strip, group, b, rows, w);
        StoreWeights<Format>(w, rows, panel);
      }
    }
  }
}

}  // namespace
