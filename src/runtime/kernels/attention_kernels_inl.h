// The attention kernels, over the vectors of an ISA's simd.h. Included by float_kernels_inl.h.
//
// While a block's scores are computed the next block's keys are prefetched, and during the weighted
// sum its values: K and V of a head lie in blocks all over the cache, too short for the hardware to
// notice a stream. Evenly, for a burst would fill the few buffers for misses and hold up what is
// worked on; and into the second cache, for together with that they would fill the first.

#include <stddef.h>
#include <stdint.h>

#include "runtime/kernels/attention_scores_inl.h"
#include "runtime/kernels/attention_values_inl.h"
#include "runtime/kernels/kernels.h"

namespace {

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
                       const ActiveQueries& active, const std::byte* next_keys, Scores& scores) {
  const int end = active.end;
  KeyScales key_scales;
  if (storage == KvStorage::kInt4) OpenKeys(k_block, head_dim, key_scales);
  ForQueriesAtOnce(active.count, [&]<int kQueries>(QueriesAtOnce<kQueries>, int first) {
    const Query* queries = active.query + first;
    const std::byte* upcoming = first == 0 ? next_keys : nullptr;
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
                            const Scores& p, const float* alpha, const std::byte* next_values) {
  ForQueriesAtOnce(active.count, [&]<int kQueries>(QueriesAtOnce<kQueries>, int first) {
    const std::byte* upcoming = first == 0 ? next_values : nullptr;
    ForChannels<kVectorsTogether<kQueries>>(head_dim, [&]<int kVectors>(Vectors<kVectors>,
                                                                        int channel) {
      WeightedSumF16<kQueries, kVectors>(v_block, head_dim, channel, active.begin, active.end,
                                         p + first, alpha + first, upcoming, active.out + first);
    });
  });
}

template <bool kInt4>
inline void WeightValuesInt(int head_dim, const std::byte* v_block, const ActiveQueries& active,
                            const Scores& p, const float* alpha, const std::byte* next_values) {
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
    const std::byte* upcoming = first == 0 ? next_values : nullptr;
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
