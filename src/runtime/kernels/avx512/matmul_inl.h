// Integer products for AVX-512 VNNI: one zmm is 16 rows x 4 inputs, vpdpbusd multiplies it with a
// broadcast activation dword. Each format's file defines a Format struct and includes this;
// everything is in an anonymous namespace.
//
// struct Format {
//   static constexpr hearth::StripFormat kFormat;
//   static constexpr int kBlocks;           // blocks of 32 inputs per group
//   static constexpr int kGroupBytes;
//   struct Group;                           // what a group's header unpacks to, in registers or on
//   the stack static Group Open(const uint8_t* group); static void Block(const uint8_t* group,
//   const Group&, int b, Weights& w);
// };
//
// Few keeps 8 codes, 8 accumulators and scratch in registers; Many is in many_inl.h.

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/kernels/avx512/formats.h"
#include "runtime/kernels/avx512/many_inl.h"
#include "runtime/kernels/avx512/vnni_inl.h"
#include "runtime/kernels/prefetch_inl.h"
#include "runtime/kernels/strip_format.h"

namespace {

using hearth::kFewColumns;

// A block of 32 inputs in registers.
struct Weights {
  __m512i codes[8];
  __m512 scale[2];
  __m512 min[2];
};

inline __m512 HalvesToFloat(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

// Four vectors of nibbles: vector j holds group j low, group j + 4 high.
inline void LoadNibbles(const uint8_t* p, __m512i codes[8]) {
  const __m512i mask = _mm512_set1_epi8(15);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512i packed = _mm512_loadu_si512(p + 64 * j);
    codes[j] = _mm512_and_si512(packed, mask);
    codes[j + 4] = _mm512_and_si512(_mm512_srli_epi16(packed, 4), mask);
  }
}

// Two vectors of two-bit fields, shifted to bit kShift: vector h holds groups 4h..4h+3.
template <int kShift>
inline __m512i TwoBits(__m512i packed, int group_in_vector) {
  const __m512i mask = _mm512_set1_epi8(3 << kShift);
  const int shift = kShift - 2 * group_in_vector;
  const __m512i moved =
      shift >= 0 ? _mm512_slli_epi16(packed, shift) : _mm512_srli_epi16(packed, -shift);
  return _mm512_and_si512(moved, mask);
}

// One bit per group, shifted to bit kShift.
template <int kShift>
inline __m512i OneBit(__m512i packed, int group) {
  const __m512i mask = _mm512_set1_epi8(1 << kShift);
  const int shift = kShift - group;
  const __m512i moved =
      shift >= 0 ? _mm512_slli_epi16(packed, shift) : _mm512_srli_epi16(packed, -shift);
  return _mm512_and_si512(moved, mask);
}

// In assembly: g++ 12 loads and multiplies in two instructions, of which a core starts only so
// many.
inline void AddProductsOf(__m512i codes, const int8_t* four, __m512i& sum) {
  asm("vpdpbusd %[four]%{1to16%}, %[codes], %[sum]"
      : [sum] "+v"(sum)
      : [codes] "v"(codes), [four] "m"(*reinterpret_cast<const int8_t(*)[4]>(four)));
}

// acc plus one block of every column. Group after group for all columns, so that neighbouring
// products are of different sums: with one column after the other the processor's window holds
// few independent products, and while it is full it does not ask for memory.
template <class Format, int kColumns>
inline void AddBlock(const Weights& w, const ActBlock* tile, __m512* acc) {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  constexpr int kHalves = kTraits.scale_per_16 ? 2 : 1;
  __m512 t[kColumns];
#pragma GCC unroll 2
  for (int half = 0; half < kHalves; ++half) {
    __m512i sum[kColumns];
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c)
      sum[c] = StartValue<Format>(tile[c], kTraits.scale_per_16 ? 1 + half : 0);
#pragma GCC unroll 8
    for (int g = half * 4; g < half * 4 + 8 / kHalves; ++g) {
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) AddProductsOf(w.codes[g], tile[c].q + 4 * g, sum[c]);
    }
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      const __m512 product = _mm512_cvtepi32_ps(sum[c]);
      t[c] = half == 0 ? _mm512_mul_ps(w.scale[0], product)
                       : _mm512_fmadd_ps(w.scale[1], product, t[c]);
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    const ActBlock& x = tile[c];
    acc[c] = _mm512_fmadd_ps(t[c], _mm512_set1_ps(x.d), acc[c]);
    if constexpr (kTraits.has_min) {
      acc[c] = _mm512_fmadd_ps(w.min[0], _mm512_set1_ps(kTraits.scale_per_16 ? x.s0 : x.s), acc[c]);
      if constexpr (kTraits.scale_per_16)
        acc[c] = _mm512_fmadd_ps(w.min[1], _mm512_set1_ps(x.s1), acc[c]);
    }
  }
}

template <class Format, int kColumns>
void FewColumns(const uint8_t* strip, int num_blocks, const ActBlock* tile, float* out,
                size_t out_stride) {
  constexpr int kBlockBytes = Format::kGroupBytes / Format::kBlocks;
  const hearth::PrefetchDistance distance = hearth::StripPrefetch();
  __m512 acc[kColumns];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) acc[c] = _mm512_setzero_ps();
  for (int block = 0; block < num_blocks; block += Format::kBlocks, strip += Format::kGroupBytes) {
    const typename Format::Group group = Format::Open(strip);
#pragma GCC unroll 1
    for (int b = 0; b < Format::kBlocks; ++b, tile += kColumns) {
      PrefetchStrip<kBlockBytes>(strip + b * kBlockBytes, distance);
      Weights w;
      Format::Block(strip, group, b, w);
      AddBlock<Format, kColumns>(w, tile, acc);
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) _mm512_storeu_ps(out + c * out_stride, acc[c]);
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

template <class Format, bool kSigned>
void Unpack(const std::byte* bytes, int num_blocks, PanelBlock* panel) noexcept {
  constexpr hearth::FormatTraits kTraits = hearth::TraitsOf(Format::kFormat);
  const auto* strip = reinterpret_cast<const uint8_t*>(bytes);
  for (int block = 0; block < num_blocks; block += Format::kBlocks, strip += Format::kGroupBytes) {
    const typename Format::Group group = Format::Open(strip);
#pragma GCC unroll 1
    for (int b = 0; b < Format::kBlocks; ++b, ++panel) {
      Weights w;
      Format::Block(strip, group, b, w);
#pragma GCC unroll 8
      for (int g = 0; g < 8; ++g) {
        if constexpr (kSigned && kTraits.offset_log2 >= 0) {
          w.codes[g] = _mm512_sub_epi8(
              w.codes[g], _mm512_set1_epi8(static_cast<char>(1 << kTraits.offset_log2)));
        }
        _mm512_store_si512(panel->codes[g], w.codes[g]);
      }
      _mm512_store_ps(panel->scale[0], w.scale[0]);
      if constexpr (kTraits.scale_per_16) _mm512_store_ps(panel->scale[1], w.scale[1]);
      if constexpr (kTraits.has_min) _mm512_store_ps(panel->min[0], w.min[0]);
      if constexpr (kTraits.has_min && kTraits.scale_per_16)
        _mm512_store_ps(panel->min[1], w.min[1]);
    }
  }
}

template <class Format>
constexpr hearth::avx512::FormatKernels MakeKernels() {
  return {{Few<Format>, Unpack<Format, false>, Many<Format>}, Unpack<Format, true>};
}

}  // namespace
