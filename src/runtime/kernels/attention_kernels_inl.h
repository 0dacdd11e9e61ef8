// The attention kernels, over the vectors of an ISA's simd.h. Included by float_kernels_inl.h.
//
// Reduced keys and values are multiplied as 16-bit integers: int8 and int4 codes widen to them in
// one step, and a query, or the weights of a block's tokens, have 15 bits and a sign there, so that
// nothing is lost beside what K and V lost when they were stored. (Queries of 8 bits would be as
// wrong again as int8 keys are, and on AVX2 no faster.) Sums over a block are exact in 32 bits:
// 64 tokens * 32767 * 127 at most.
//
// While the scores of a block are computed its values are prefetched, and during the weighted sum
// the next block's keys: K and V of a head lie in blocks all over the cache, too short for the
// hardware to notice a stream. Evenly, for a burst would fill the few buffers for misses and hold
// up what is worked on; and into the second cache, for together with that they would fill the
// first.

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

template <int kQueries>
struct QueriesAtOnce {};

// Queries 0 to active - 1 in as few groups as may be, of nearly the same size:
// run(QueriesAtOnce<n>, first).
template <typename Run>
inline void ForQueriesAtOnce(int active, const Run& run) {
  for (int first = 0, groups = (active + kMaxQueriesAtOnce - 1) / kMaxQueriesAtOnce; groups > 0;
       --groups) {
    const int size = (active - first + groups - 1) / groups;
    switch (size) {
      case 1:
        run(QueriesAtOnce<1>(), first);
        break;
      case 2:
        run(QueriesAtOnce<2>(), first);
        break;
      case 3:
        run(QueriesAtOnce<3>(), first);
        break;
      case 4:
        run(QueriesAtOnce<4>(), first);
        break;
      case 5:
        run(QueriesAtOnce<5>(), first);
        break;
      default:
        run(QueriesAtOnce<kMaxQueriesAtOnce>(), first);
        break;
    }
    first += size;
  }
}

// All channels of a head, run(Vectors<n>, first channel), kTogether vectors at a time and the rest
// by pairs (a head has an even number of them).
template <int kVectors>
struct Vectors {};

template <int kTogether, typename Run>
inline void ForChannels(int head_dim, const Run& run) {
  int channel = 0;
  for (; channel + 16 * kTogether <= head_dim; channel += 16 * kTogether)
    run(Vectors<kTogether>(), channel);
  if constexpr (kTogether > 2) {
    for (; channel < head_dim; channel += 32) run(Vectors<2>(), channel);
  }
}

// Scores of one query with tokens [0, end) of a block to e^(score - maximum), of the block's others
// to 0; the sum and the maximum updated. Returns what earlier sums shrink by.
inline float SoftmaxBlock(const AttentionTile& tile, int query, int base, int end, float* s,
                          AttentionState& state) {
  if (tile.softcap > 0) {
    for (int t = 0; t < end; t += 16) {
      Store(s + t, Mul(Tanh(Div(Load(s + t), Set1(tile.softcap))), Set1(tile.softcap)));
    }
  }
  for (int t = 0; t < tile.first[query] - base; ++t) s[t] = kNegativeInfinity;
  for (int t = tile.end[query] - base; t < (end + 15) / 16 * 16; ++t) s[t] = kNegativeInfinity;
  V largest = Load(s);
  for (int t = 16; t < end; t += 16) largest = Max(largest, Load(s + t));
  const float block_max = ReduceMax(largest);
  const float new_max = state.maximum[query] > block_max ? state.maximum[query] : block_max;
  V sum = Set1(0.0f);
  int t = 0;
  for (; t < end; t += 16) {
    const V e = Exp(Sub(Load(s + t), Set1(new_max)));
    Store(s + t, e);
    sum = Add(sum, e);
  }
  for (; t < kKvBlockTokens; t += 16) Store(s + t, Set1(0.0f));
  float rescale[16] = {1.0f};  // e^0, most of the time
  if (new_max != state.maximum[query])
    Store(rescale, Exp(Set1(state.maximum[query] - new_max)));  // 0 the first time
  state.maximum[query] = new_max;
  state.total[query] = __builtin_fmaf(state.total[query], rescale[0], ReduceAdd(sum));
  return rescale[0];
}

// The queries of a tile in the form that its storage wants.
struct TileQueries {
  alignas(64) int16_t int16[kMaxTileQueries][kMaxHeadDim];
  alignas(64) float normed[kMaxTileQueries][kMaxHeadDim];
  Query of[kMaxTileQueries];
};

inline void OpenQueries(const AttentionTile& tile, TileQueries& queries) {
  for (int r = 0; r < tile.num_queries; ++r) {
    const float* x = tile.queries[r];
    queries.of[r] = {x, queries.int16[r], queries.normed[r], 1.0f};
    if (tile.storage == KvStorage::kF16) continue;
    V largest = Set1(0.0f), sum = Set1(0.0f);
    for (int d = 0; d < tile.head_dim; d += 16) {
      largest = Max(largest, Abs(Load(x + d)));
      sum = Add(sum, Load(x + d));
    }
    const float amax = ReduceMax(largest), total = ReduceAdd(sum);
    const bool finite = total - total == 0;
    const V inverse = Set1(amax > kSmallestMaximum ? kLargestInt16 / amax : 0.0f);
    queries.of[r].scale = finite ? amax * (1.0f / kLargestInt16) : __builtin_nanf("");
    for (int d = 0; d < tile.head_dim; d += 16) {
      const V normed = finite ? Mul(Load(x + d), inverse) : Set1(0.0f);
      if (tile.storage == KvStorage::kInt4) {
        Store(queries.normed[r] + d, normed);
      } else {
        StoreInt16(queries.int16[r] + d, normed);
      }
    }
  }
}

// The queries of a tile that see a token of a block, and the tokens [begin, end) that any of them
// sees. A query must not notice who else is in its tile.
struct ActiveQueries {
  Query query[kMaxTileQueries];
  float* out[kMaxTileQueries];
  int index[kMaxTileQueries];
  bool sees_all[kMaxTileQueries];
  int count = 0, begin = kKvBlockTokens, end = 0;
};

inline void FindActive(const AttentionTile& tile, const TileQueries& queries, int base,
                       AttentionState& state, ActiveQueries& active) {
  for (int r = 0; r < tile.num_queries; ++r) {
    if (tile.first[r] >= base + kKvBlockTokens || tile.end[r] <= base) continue;
    active.query[active.count] = queries.of[r];
    active.out[active.count] = state.sum[r];
    const int from = tile.first[r] - base, to = tile.end[r] - base;
    active.sees_all[active.count] = from <= 0 && to >= kKvBlockTokens;
    active.index[active.count++] = r;
    active.begin = from < active.begin ? (from < 0 ? 0 : from) : active.begin;
    active.end = to > active.end ? (to > kKvBlockTokens ? kKvBlockTokens : to) : active.end;
  }
}

inline void ScoreBlock(KvStorage storage, int head_dim, const std::byte* k_block,
                       const ActiveQueries& active, const std::byte* v_block, Scores& scores) {
  const int end = active.end;
  KeyScales key_scales;
  if (storage == KvStorage::kInt4) OpenKeys(k_block, head_dim, key_scales);
  ForQueriesAtOnce(active.count, [&]<int kQueries>(QueriesAtOnce<kQueries>, int first) {
    const Query* queries = active.query + first;
    const std::byte* upcoming = first == 0 ? v_block : nullptr;
    if (storage == KvStorage::kF16) {
      ScoresF16<kQueries>(k_block, head_dim, end, queries, upcoming, scores + first);
    } else if (storage == KvStorage::kInt4) {
      ScoresInt4<kQueries>(k_block, key_scales, head_dim, end, queries, upcoming, scores + first);
    } else {
      ScoresInt8<kQueries>(k_block, head_dim, end, queries, upcoming, scores + first);
    }
  });
}

inline void WeightValuesF16(int head_dim, const std::byte* v_block, const ActiveQueries& active,
                            const Scores& p, const float* alpha, const std::byte* next_keys) {
  ForQueriesAtOnce(active.count, [&]<int kQueries>(QueriesAtOnce<kQueries>, int first) {
    const std::byte* upcoming = first == 0 ? next_keys : nullptr;
    ForChannels<kVectorsTogether<kQueries>>(head_dim, [&]<int kVectors>(Vectors<kVectors>,
                                                                        int channel) {
      WeightedSumF16<kQueries, kVectors>(v_block, head_dim, channel, active.begin, active.end,
                                         p + first, alpha + first, upcoming, active.out + first);
    });
  });
}

template <bool kInt4>
inline void WeightValuesInt(int head_dim, const std::byte* v_block, const ActiveQueries& active,
                            const Scores& p, const float* alpha, const std::byte* next_keys) {
  const int groups = head_dim / 32;
  const std::byte* header = v_block + CodeBytes(head_dim, kInt4);
  alignas(64) float room[2 * kKvBlockTokens * kMaxHeadDim / 32];  // scales and minima as floats
  const float* scales = reinterpret_cast<const float*>(header);
  const float* minima = nullptr;
  if constexpr (kInt4) {
    const auto* halves = reinterpret_cast<const uint16_t*>(header);
    for (int i = 0; i < 2 * groups * kKvBlockTokens; i += 16) Store(room + i, LoadHalf(halves + i));
    scales = room;
    minima = room + groups * kKvBlockTokens;
  }
  ForQueriesAtOnce(active.count, [&]<int kQueries>(QueriesAtOnce<kQueries>, int first) {
    Weights16 weights[kQueries];
#pragma GCC unroll 6
    for (int r = 0; r < kQueries; ++r) {
      if (active.sees_all[first + r]) {
        RoundWeights<true>(p[first + r], scales, minima, groups, weights[r]);
      } else {
        RoundWeights<false>(p[first + r], scales, minima, groups, weights[r]);
      }
    }
    const std::byte* upcoming = first == 0 ? next_keys : nullptr;
    ForChannels<kIntVectorsTogether<kQueries>>(
        head_dim, [&]<int kVectors>(Vectors<kVectors>, int channel) {
          WeightedSumInt<kQueries, kVectors, kInt4>(v_block, head_dim, channel, active.begin,
                                                    active.end, weights, alpha + first, upcoming,
                                                    active.out + first);
        });
  });
}

void Attention(const AttentionTile& tile, int first_block, int last_block,
               AttentionState& state) noexcept {
  TileQueries queries;
  OpenQueries(tile, queries);
  alignas(64) Scores scores;
  for (int r = 0; r < tile.num_queries; ++r) {
    state.maximum[r] = kNegativeInfinity;
    state.total[r] = 0;
    for (int d = 0; d < tile.head_dim; d += 16) Store(state.sum[r] + d, Set1(0.0f));
  }
  int seen = 0;
  for (int r = 0; r < tile.num_queries; ++r) seen = seen > tile.end[r] ? seen : tile.end[r];
  for (int block = first_block; block < last_block; ++block) {
    const int base = block * kKvBlockTokens;
    ActiveQueries active;
    FindActive(tile, queries, base, state, active);
    if (active.count == 0) continue;
    const std::byte* v_block = tile.v_blocks[block];
    const std::byte* next_keys = base + kKvBlockTokens < seen ? tile.k_blocks[block + 1] : nullptr;
    const std::byte* next_values = next_keys != nullptr ? tile.v_blocks[block + 1] : nullptr;
    const KvStorage keys = block == tile.open_block ? KvStorage::kF16 : tile.storage;
    if (tile.storage != KvStorage::kF16 && next_keys != nullptr)
      PrefetchScales(next_keys, tile.head_dim, tile.storage == KvStorage::kInt4);
    ScoreBlock(keys, tile.head_dim, tile.k_blocks[block], active, next_keys, scores);
    if (tile.storage != KvStorage::kF16 && next_values != nullptr)
      PrefetchScales(next_values, tile.head_dim, HasInt4Values(tile.storage));
    float alpha[kMaxTileQueries];
    for (int a = 0; a < active.count; ++a)
      alpha[a] = SoftmaxBlock(tile, active.index[a], base, active.end, scores[a], state);
    if (tile.storage == KvStorage::kF16) {
      WeightValuesF16(tile.head_dim, v_block, active, scores, alpha, next_values);
    } else if (HasInt4Values(tile.storage)) {
      WeightValuesInt<true>(tile.head_dim, v_block, active, scores, alpha, next_values);
    } else {
      WeightValuesInt<false>(tile.head_dim, v_block, active, scores, alpha, next_values);
    }
  }
}

void AttentionFold(AttentionState& state, const AttentionState& later, int num_queries,
                   int head_dim) noexcept {
  for (int r = 0; r < num_queries; ++r) {
    if (later.total[r] == 0) continue;  // saw nothing there
    if (state.total[r] == 0) {          // saw nothing before
      state.maximum[r] = later.maximum[r];
      state.total[r] = later.total[r];
      for (int d = 0; d < head_dim; d += 16) Store(state.sum[r] + d, Load(later.sum[r] + d));
      continue;
    }
    const float maximum = state.maximum[r] > later.maximum[r] ? state.maximum[r] : later.maximum[r];
    float shrink[2][16];
    Store(shrink[0], Exp(Set1(state.maximum[r] - maximum)));
    Store(shrink[1], Exp(Set1(later.maximum[r] - maximum)));
    const V before = Set1(shrink[0][0]), after = Set1(shrink[1][0]);
    state.maximum[r] = maximum;
    state.total[r] = __builtin_fmaf(state.total[r], shrink[0][0], later.total[r] * shrink[1][0]);
    for (int d = 0; d < head_dim; d += 16) {
      Store(state.sum[r] + d,
            Fma(Load(state.sum[r] + d), before, Mul(Load(later.sum[r] + d), after)));
    }
  }
}

void AttentionFinish(KvStorage storage, const AttentionState& state, int num_queries, int head_dim,
                     float* const* out) noexcept {
  for (int r = 0; r < num_queries; ++r) {
    const V inverse = Set1(1.0f / state.total[r]);
    for (int d = 0; d < head_dim; d += 16) Store(out[r] + d, Mul(Load(state.sum[r] + d), inverse));
    if (HasInt4Values(storage)) Turn(out[r], head_dim);
  }
}

}  // namespace
