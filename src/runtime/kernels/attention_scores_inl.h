#pragma once
// Scores of attention: queries times the keys of a block, over the vectors of an ISA's simd.h. For
// attention_kernels_inl.h.
//
// Reduced keys and values are multiplied as 16-bit integers: int8 and int4 codes widen to them in
// one step, and a query, or the weights of a block's tokens, have 15 bits and a sign there, so that
// nothing is lost beside what K and V lost when they were stored. (Queries of 8 bits would be as
// wrong again as int8 keys are, and on AVX2 no faster.) Sums over a block are exact in 32 bits:
// 64 tokens * 32767 * 127 at most.

#include <stddef.h>
#include <stdint.h>

#include "runtime/kernels/kernels.h"
#include "runtime/kernels/kv_store_inl.h"
#include "runtime/kernels/prefetch_inl.h"

namespace {

using hearth::AttentionState;
using hearth::AttentionTile;
using hearth::kMaxTileQueries;

// Queries that share one read of keys or values, and vectors of 16 tokens or channels that are
// worked on together: their sums and the operands fit AVX-512's 32 registers, half as many of 256
// bits, or twice as many of NEON's.
constexpr int kMaxQueriesAtOnce = 6;
#if defined(__AVX512F__)
template <int kQueries>
constexpr int kVectorsTogether = 4;
template <int kQueries>
constexpr int kIntVectorsTogether = 4;
#else
template <int kQueries>
constexpr int kVectorsTogether = kQueries == 1   ? 4
                                 : kQueries <= 3 ? 2
                                                 : 1;
// Integer sums have no latency to hide.
template <int kQueries>
constexpr int kIntVectorsTogether = kQueries <= 2 ? 2 : 1;
#endif
constexpr int kCacheLine = 64;
constexpr float kLargestInt16 = 32767.0f;
constexpr float kLargestFloat = 3.40282347e38f;

using Scores = float[kMaxTileQueries][kKvBlockTokens];

// A query in the form its keys want.
struct Query {
  const float* x;  // [head_dim]
  // What the keys' type wants: int8: x / scale rounded to 16 bits; int4: x / scale as floats, to
  // which each block's scales come.
  const int16_t* int16;
  const float* normed;
  float scale;
};

// Asks for two lines of `upcoming` for each of `num_steps` steps, over as many of the 4 / kTogether
// passes as that takes with one line (four vectors together: one pass, two lines) a step.
template <int kTogether>
inline void PrefetchStep(const std::byte* upcoming, int pass, int num_steps, int step) {
  constexpr int kAtOnce = kTogether == 4 ? 2 : 1;
  if (upcoming == nullptr || pass * kAtOnce >= 2) return;
  const std::byte* line = upcoming + (pass * num_steps + step) * kAtOnce * kCacheLine;
  for (int i = 0; i < kAtOnce; ++i) PrefetchFar(line + i * kCacheLine);
}

// Scores of kQueries queries with kTogether vectors of tokens of a block. `upcoming` is prefetched
// as the keys are read: over all vectors as many bytes as they take.
template <int kQueries, int kTogether>
inline void ScoreVectorsF16(const std::byte* k_block, int head_dim, int first, const Query* queries,
                            const std::byte* upcoming, float (*scores)[kKvBlockTokens]) {
  const auto* k = reinterpret_cast<const uint16_t*>(k_block);
  V acc[kQueries][kTogether];
#pragma GCC unroll 6
  for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kTogether; ++j) acc[r][j] = Set1(0.0f);
  }
  for (int d = 0; d < head_dim; ++d) {
    PrefetchStep<kTogether>(upcoming, first / kTogether, head_dim, d);
    V channel[kTogether];
#pragma GCC unroll 4
    for (int j = 0; j < kTogether; ++j)
      channel[j] = LoadHalf(k + d * kKvBlockTokens + 16 * (first + j));
#pragma GCC unroll 6
    for (int r = 0; r < kQueries; ++r) {
      const V x = Set1(queries[r].x[d]);
#pragma GCC unroll 4
      for (int j = 0; j < kTogether; ++j) acc[r][j] = Fma(x, channel[j], acc[r][j]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kTogether; ++j) Store(scores[r] + 16 * (first + j), acc[r][j]);
  }
}

// Scores of kQueries queries with tokens [0, end) of a block, and some more.
template <int kQueries>
inline void ScoresF16(const std::byte* k_block, int head_dim, int end, const Query* queries,
                      const std::byte* upcoming, float (*scores)[kKvBlockTokens]) {
  constexpr int kTogether = kVectorsTogether<kQueries>;
  if constexpr (kTogether == 4) {
    if (end <= 32) {  // of a prompt's own block most queries see a part
      ScoreVectorsF16<kQueries, 2>(k_block, head_dim, 0, queries, upcoming, scores);
      return;
    }
  }
  for (int first = 0; 16 * first < end; first += kTogether)
    ScoreVectorsF16<kQueries, kTogether>(k_block, head_dim, first, queries, upcoming, scores);
}

// score = query's scale * sum over groups of 32 channels of (key's scale * integer sum)
template <int kQueries>
inline void ScoresInt8(const std::byte* k_block, int head_dim, int end, const Query* queries,
                       const std::byte* upcoming, float (*scores)[kKvBlockTokens]) {
  constexpr int kTogether = kIntVectorsTogether<kQueries>;
  const auto* k = reinterpret_cast<const int8_t*>(k_block);
  const auto* scales =
      reinterpret_cast<const float*>(k_block + static_cast<size_t>(head_dim) * kKvBlockTokens);
  for (int first = 0; 16 * first < end; first += kTogether) {
    V acc[kQueries][kTogether];
#pragma GCC unroll 6
    for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < kTogether; ++j) acc[r][j] = Set1(0.0f);
    }
    for (int group = 0; group < head_dim / 32; ++group) {
      Sums sums[kQueries][kTogether];
#pragma GCC unroll 6
      for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
        for (int j = 0; j < kTogether; ++j) sums[r][j] = ZeroSums();
      }
      for (int d = group * 32; d < group * 32 + 32; d += 2) {
        PrefetchStep<kTogether>(upcoming, first / kTogether, head_dim / 2, d / 2);
        Pairs channels[kTogether];
#pragma GCC unroll 4
        for (int j = 0; j < kTogether; ++j)
          channels[j] = LoadPairs(k + d * kKvBlockTokens + 32 * (first + j));
#pragma GCC unroll 6
        for (int r = 0; r < kQueries; ++r) {
          const Pairs x = BroadcastPair(queries[r].int16 + d);
#pragma GCC unroll 4
          for (int j = 0; j < kTogether; ++j) sums[r][j] = AddProducts(sums[r][j], channels[j], x);
        }
      }
#pragma GCC unroll 4
      for (int j = 0; j < kTogether; ++j) {
        const V scale = Load(scales + group * kKvBlockTokens + 16 * (first + j));
#pragma GCC unroll 6
        for (int r = 0; r < kQueries; ++r) acc[r][j] = Fma(ToFloat(sums[r][j]), scale, acc[r][j]);
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < kTogether; ++j)
        Store(scores[r] + 16 * (first + j), Mul(acc[r][j], Set1(queries[r].scale)));
    }
  }
}

// What the keys of an int4 block bring to the queries: their scales as shares of the largest, for
// each half of the tokens.
struct KeyScales {
  float largest[2];
  alignas(64) float shares[2][kMaxHeadDim];
  alignas(64) float minima[2][kMaxHeadDim];
};

inline void OpenKeys(const std::byte* k_block, int head_dim, KeyScales& keys) {
  const auto* scales = reinterpret_cast<const uint16_t*>(k_block + static_cast<size_t>(head_dim) *
                                                                       (kKvBlockTokens / 2));
  const uint16_t* minima = scales + 2 * head_dim;
  for (int half = 0; half < 2; ++half) {
    V largest = Set1(0.0f);
    for (int d = 0; d < head_dim; d += 16) {
      const V scale = LoadHalf(scales + half * head_dim + d);
      Store(keys.shares[half] + d, scale);
      Store(keys.minima[half] + d, LoadHalf(minima + half * head_dim + d));
      largest = Max(largest, scale);
    }
    keys.largest[half] = ReduceMax(largest);
    // Infinite where a key was no number; its minimum makes the scores NaN.
    const bool usable = keys.largest[half] > 0 && keys.largest[half] <= kLargestFloat;
    const V inverse = Set1(usable ? 1.0f / keys.largest[half] : 0.0f);
    if (!usable) keys.largest[half] = 0;
    for (int d = 0; d < head_dim; d += 16) {
      const V share = Mul(Load(keys.shares[half] + d), inverse);
      Store(keys.shares[half] + d, usable ? share : Set1(0.0f));
    }
  }
}

// A key is minimum + scale * code, the two of a channel the same for 32 tokens: the scales go into
// the query before it is rounded, the minima into what is added to the integer sums.
template <int kQueries>
inline void ScoresInt4(const std::byte* k_block, const KeyScales& keys, int head_dim, int end,
                       const Query* queries, const std::byte* upcoming,
                       float (*scores)[kKvBlockTokens]) {
  constexpr int kTogether = kIntVectorsTogether<kQueries> < 2 ? 1 : 2;
  const auto* codes = reinterpret_cast<const uint8_t*>(k_block);
  for (int half = 0; half < 2 && 32 * half < end; ++half) {
    alignas(64) int16_t scaled[kQueries][kMaxHeadDim];
    float base[kQueries], scale[kQueries];
#pragma GCC unroll 6
    for (int r = 0; r < kQueries; ++r) {
      V sum = Set1(0.0f);
      for (int d = 0; d < head_dim; d += 16) {
        StoreInt16(scaled[r] + d, Mul(Load(queries[r].normed + d), Load(keys.shares[half] + d)));
        sum = Fma(Load(queries[r].x + d), Load(keys.minima[half] + d), sum);
      }
      base[r] = ReduceAdd(sum);
      scale[r] = queries[r].scale * keys.largest[half];
    }
    for (int first = 0; first < 2; first += kTogether) {
      Sums sums[kQueries][kTogether];
#pragma GCC unroll 6
      for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
        for (int j = 0; j < kTogether; ++j) sums[r][j] = ZeroSums();
      }
      for (int d = 0; d < head_dim; d += 2) {
        if (half == 0 && first == 0 && upcoming != nullptr)
          PrefetchFar(upcoming + d / 2 * kCacheLine);
        Pairs channels[kTogether];
#pragma GCC unroll 4
        for (int j = 0; j < kTogether; ++j) {
          const uint8_t* bytes = codes + d / 2 * kKvBlockTokens + 32 * (first + j);
          channels[j] = half == 0 ? LoadLowPairs(bytes) : LoadHighPairs(bytes);
        }
#pragma GCC unroll 6
        for (int r = 0; r < kQueries; ++r) {
          const Pairs x = BroadcastPair(scaled[r] + d);
#pragma GCC unroll 4
          for (int j = 0; j < kTogether; ++j) sums[r][j] = AddProducts(sums[r][j], channels[j], x);
        }
      }
#pragma GCC unroll 6
      for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
        for (int j = 0; j < kTogether; ++j) {
          Store(scores[r] + 32 * half + 16 * (first + j),
                Fma(ToFloat(sums[r][j]), Set1(scale[r]), Set1(base[r])));
        }
      }
    }
  }
}

}  // namespace
