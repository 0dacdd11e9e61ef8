#pragma once
// What attention sums: the values of a block by what their tokens weigh, over the vectors of an
// ISA's simd.h. For attention_kernels_inl.h.

#include <stddef.h>
#include <stdint.h>

#include "runtime/kernels/attention_scores_inl.h"

namespace {

// Bytes of the codes of a block's keys or values; their scales and minima follow.
inline size_t CodeBytes(int head_dim, bool is_int4) {
  return static_cast<size_t>(head_dim) * kKvBlockTokens / (is_int4 ? 2 : 1);
}

inline void PrefetchScales(const std::byte* block, int head_dim, bool is_int4) {
  const std::byte* scales = block + CodeBytes(head_dim, is_int4);
  for (int i = 0; i < 8 * head_dim; i += kCacheLine) PrefetchFar(scales + i);
}

inline bool HasInt4Values(KvStorage storage) {
  return storage == KvStorage::kInt4 || storage == KvStorage::kInt8Int4;
}

// 16 * kVectors channels of the weighted sum of V rows [begin, end) for kQueries queries: out = out
// * alpha + sum p[t] v[t], in order of t.
template <int kQueries, int kVectors>
inline void WeightedSumF16(const std::byte* v_block, int head_dim, int channel, int begin, int end,
                           const float (*p)[kKvBlockTokens], const float* alpha,
                           const std::byte* upcoming, float* const* out) {
  const auto* v = reinterpret_cast<const uint16_t*>(v_block) + channel;
  V acc[kQueries][kVectors];
#pragma GCC unroll 6
  for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j)
      acc[r][j] = Mul(Load(out[r] + channel + 16 * j), Set1(alpha[r]));
  }
  for (int t = begin; t < end; ++t) {
    if (upcoming != nullptr && channel % 32 == 0) {
      for (int j = 0; j < kVectors; j += 2)
        PrefetchFar(upcoming + (t * head_dim + channel + 16 * j) * 2);
    }
    V value[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) value[j] = LoadHalf(v + t * head_dim + 16 * j);
#pragma GCC unroll 6
    for (int r = 0; r < kQueries; ++r) {
      const V weight = Set1(p[r][t]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) acc[r][j] = Fma(weight, value[j], acc[r][j]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) Store(out[r] + channel + 16 * j, acc[r][j]);
  }
}

// What a query gives the tokens of a block, for each 32 channels: e^(score - maximum) * the value's
// scale in 16 bits, with one scale of its own, and the sum of what the int4 minima weigh.
struct Weights16 {
  alignas(64) int16_t of_token[kMaxHeadDim / 32][kKvBlockTokens];
  float scale[kMaxHeadDim / 32];
  float base[kMaxHeadDim / 32];
};

// probability * factor where the probability is above 0, else 0.
inline V MulWhere(V probability, V factor) {
  const V zero = Set1(0.0f);
  return SelectLess(zero, probability, Mul(probability, factor), zero);
}

// `scales`: [head_dim / 32][64]; `minima` likewise or null. kAll: the query sees the whole block;
// else there may be tokens with p = 0 for which nothing was stored yet.
template <bool kAll>
inline void RoundWeights(const float* p, const float* scales, const float* minima, int groups,
                         Weights16& weights) {
  const auto weigh = [&](const float* factors, int group, int j) {
    const V probability = Load(p + 16 * j),
            factor = Load(factors + group * kKvBlockTokens + 16 * j);
    return kAll ? Mul(probability, factor) : MulWhere(probability, factor);
  };
  for (int group = 0; group < groups; ++group) {
    V w[4];
    for (int j = 0; j < 4; ++j) w[j] = weigh(scales, group, j);
    const float largest = ReduceMax(Max(Max(w[0], w[1]), Max(w[2], w[3])));
    const bool finite = largest <= kLargestFloat;
    const V inverse = Set1(largest > kSmallestMaximum && finite ? kLargestInt16 / largest : 0.0f);
    for (int j = 0; j < 4; ++j) {
      StoreInt16(weights.of_token[group] + 16 * j, finite ? Mul(w[j], inverse) : Set1(0.0f));
    }
    weights.scale[group] = finite ? largest * (1.0f / kLargestInt16) : __builtin_nanf("");
    if (minima == nullptr) continue;
    V sum = weigh(minima, group, 0);
    for (int j = 1; j < 4; ++j) sum = Add(sum, weigh(minima, group, j));
    weights.base[group] = ReduceAdd(sum);
  }
}

// The same for reduced values; their pairs of tokens from begin / 2 on. kInt4: the codes are
// nibbles, of channels in the low half of their group or (odd vectors) in the high one.
template <int kQueries, int kVectors, bool kInt4>
inline void WeightedSumInt(const std::byte* v_block, int head_dim, int channel, int begin, int end,
                           const Weights16* weights, const float* alpha, const std::byte* upcoming,
                           float* const* out) {
  constexpr int kBytes = (kInt4 ? 16 : 32) * kVectors;    // of the channels, a pair of tokens
  const int row_bytes = kInt4 ? head_dim : 2 * head_dim;  // of all channels
  const int offset = kInt4 ? channel / 32 * 32 : 2 * channel;
  const auto* v = reinterpret_cast<const uint8_t*>(v_block) + offset;
  const int group = channel / 32;
  const bool is_high_half = channel % 32 != 0;  // where kVectors == 1
  const bool prefetches = upcoming != nullptr && !is_high_half && offset % kCacheLine == 0;
  Sums sums[kQueries][kVectors];
#pragma GCC unroll 6
  for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) sums[r][j] = ZeroSums();
  }
  for (int t = begin / 2 * 2; t < end; t += 2) {
    const int row = t / 2 * row_bytes;
    if (prefetches) {
      for (int i = 0; i < kBytes; i += kCacheLine) PrefetchFar(upcoming + offset + row + i);
    }
    Pairs values[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      if constexpr (kInt4) {
        const bool is_high = kVectors == 1 ? is_high_half : j % 2 == 1;
        const uint8_t* codes = v + row + j / 2 * 32;
        values[j] = is_high ? LoadHighPairs(codes) : LoadLowPairs(codes);
      } else {
        values[j] = LoadPairs(reinterpret_cast<const int8_t*>(v + row + 32 * j));
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < kQueries; ++r) {
      Pairs weight;
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        if (j % 2 == 0) weight = BroadcastPair(weights[r].of_token[group + j / 2] + t);
        sums[r][j] = AddProducts(sums[r][j], values[j], weight);
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      float* to = out[r] + channel + 16 * j;
      const V scale = Set1(weights[r].scale[group + j / 2]);
      V before = Mul(Load(to), Set1(alpha[r]));
      if constexpr (kInt4) before = Add(before, Set1(weights[r].base[group + j / 2]));
      Store(to, Fma(ToFloat(sums[r][j]), scale, before));
    }
  }
}

}  // namespace
