// The attention kernels and the layout of the KV cache, over the vector V of an ISA's simd.h.
// Included by float_kernels_inl.h.
//
// While the scores of a block are computed its values are prefetched, and during the weighted sum
// the next block's keys: K and V of a head lie in blocks all over the cache, too short for the
// hardware to notice a stream.

#include <stddef.h>
#include <stdint.h>

#include "runtime/kernels/kernels.h"
#include "runtime/kernels/prefetch_inl.h"

namespace {

using hearth::AttentionState;
using hearth::AttentionTile;
using hearth::kKvBlockTokens;
using hearth::kMaxHeadDim;
using hearth::kMaxTileQueries;
using hearth::KvStorage;

// Vectors of 16 floats that are worked on together: four queries' sums and the operands fit
// AVX-512's 32 registers; the other instruction sets have room for eight vectors in all.
#if defined(__AVX512F__)
constexpr int kVectorsTogether = 4;
#else
constexpr int kVectorsTogether = 1;
#endif
constexpr int kCacheLine = 64;

using Scores = float[kMaxTileQueries][kKvBlockTokens];

// Scores of kQueries queries with the 64 tokens of a block. `upcoming` is prefetched as the keys
// are read: as many bytes as they take.
template <int kQueries>
inline void ScoresF16(const std::byte* k_block, int head_dim, const float* const* q,
                      const std::byte* upcoming, float (*scores)[kKvBlockTokens]) {
  const auto* k = reinterpret_cast<const uint16_t*>(k_block);
  for (int first = 0; first < 4; first += kVectorsTogether) {
    V acc[kQueries][kVectorsTogether];
    for (int r = 0; r < kQueries; ++r) {
      for (int j = 0; j < kVectorsTogether; ++j) acc[r][j] = Set1(0.0f);
    }
    for (int d = 0; d < head_dim; ++d) {
      if (first == 0 && upcoming != nullptr) {
        PrefetchNear(upcoming + d * 2 * kCacheLine);
        PrefetchNear(upcoming + d * 2 * kCacheLine + kCacheLine);
      }
      for (int j = 0; j < kVectorsTogether; ++j) {
        const V channel = LoadHalf(k + d * kKvBlockTokens + 16 * (first + j));
        for (int r = 0; r < kQueries; ++r) acc[r][j] = Fma(Set1(q[r][d]), channel, acc[r][j]);
      }
    }
    for (int r = 0; r < kQueries; ++r) {
      for (int j = 0; j < kVectorsTogether; ++j) Store(scores[r] + 16 * (first + j), acc[r][j]);
    }
  }
}

template <int kQueries>
inline void ScoresInt8(const std::byte* k_block, int head_dim, const float* const* q,
                       const std::byte* upcoming, float (*scores)[kKvBlockTokens]) {
  const auto* k = reinterpret_cast<const int8_t*>(k_block);
  const auto* scales =
      reinterpret_cast<const float*>(k_block + static_cast<size_t>(head_dim) * kKvBlockTokens);
  for (int first = 0; first < 4; first += kVectorsTogether) {
    V acc[kQueries][kVectorsTogether];
    for (int r = 0; r < kQueries; ++r) {
      for (int j = 0; j < kVectorsTogether; ++j) acc[r][j] = Set1(0.0f);
    }
    for (int group = 0; group < head_dim / 32; ++group) {
      V part[kQueries][kVectorsTogether];
      for (int r = 0; r < kQueries; ++r) {
        for (int j = 0; j < kVectorsTogether; ++j) part[r][j] = Set1(0.0f);
      }
      for (int d = group * 32; d < group * 32 + 32; ++d) {
        if (first == 0 && upcoming != nullptr) PrefetchNear(upcoming + d * kCacheLine);
        for (int j = 0; j < kVectorsTogether; ++j) {
          const V channel = LoadInt8(k + d * kKvBlockTokens + 16 * (first + j));
          for (int r = 0; r < kQueries; ++r) part[r][j] = Fma(Set1(q[r][d]), channel, part[r][j]);
        }
      }
      for (int j = 0; j < kVectorsTogether; ++j) {
        const V scale = Load(scales + group * kKvBlockTokens + 16 * (first + j));
        for (int r = 0; r < kQueries; ++r) acc[r][j] = Fma(part[r][j], scale, acc[r][j]);
      }
    }
    for (int r = 0; r < kQueries; ++r) {
      for (int j = 0; j < kVectorsTogether; ++j) Store(scores[r] + 16 * (first + j), acc[r][j]);
    }
  }
}

// A key is minimum + scale * code, the two of a channel the same for 32 tokens: the scales go into
// the query, the minima into what the sums begin with.
template <int kQueries>
inline void ScoresInt4(const std::byte* k_block, int head_dim, const float* const* q,
                       const std::byte* upcoming, float (*scores)[kKvBlockTokens]) {
  constexpr int kChannelBytes = kKvBlockTokens / 2;
  const auto* codes = reinterpret_cast<const uint8_t*>(k_block);
  const auto* scales =
      reinterpret_cast<const uint16_t*>(k_block + static_cast<size_t>(head_dim) * kChannelBytes);
  const uint16_t* minima = scales + 2 * head_dim;
  alignas(64) float scaled[2][kQueries][kMaxHeadDim];
  float base[2][kQueries];
  for (int half = 0; half < 2; ++half) {
    for (int r = 0; r < kQueries; ++r) {
      V sum = Set1(0.0f);
      for (int d = 0; d < head_dim; d += 16) {
        const V query = Load(q[r] + d);
        Store(scaled[half][r] + d, Mul(query, LoadHalf(scales + half * head_dim + d)));
        sum = Fma(query, LoadHalf(minima + half * head_dim + d), sum);
      }
      base[half][r] = ReduceAdd(sum);
    }
  }
  for (int first = 0; first < 4; first += kVectorsTogether) {
    V acc[kQueries][kVectorsTogether];
    for (int r = 0; r < kQueries; ++r) {
      for (int j = 0; j < kVectorsTogether; ++j) acc[r][j] = Set1(base[(first + j) / 2][r]);
    }
    for (int d = 0; d < head_dim; ++d) {
      const uint8_t* channel = codes + d * kChannelBytes;
      if (first == 0 && upcoming != nullptr && d % 2 == 0)
        PrefetchNear(upcoming + d * kChannelBytes);
      for (int j = 0; j < kVectorsTogether; ++j) {
        const int half = (first + j) / 2;
        const uint8_t* bytes = channel + (first + j) % 2 * 16;
        const V code = half == 0 ? LoadLowNibbles(bytes) : LoadHighNibbles(bytes);
        for (int r = 0; r < kQueries; ++r) {
          acc[r][j] = Fma(Set1(scaled[half][r][d]), code, acc[r][j]);
        }
      }
    }
    for (int r = 0; r < kQueries; ++r) {
      for (int j = 0; j < kVectorsTogether; ++j) Store(scores[r] + 16 * (first + j), acc[r][j]);
    }
  }
}

template <int kQueries>
inline void ScoresOf(KvStorage storage, int head_dim, const std::byte* k_block,
                     const float* const* q, const std::byte* upcoming,
                     float (*scores)[kKvBlockTokens]) {
  if (storage == KvStorage::kF16) {
    ScoresF16<kQueries>(k_block, head_dim, q, upcoming, scores);
  } else if (storage == KvStorage::kInt4) {
    ScoresInt4<kQueries>(k_block, head_dim, q, upcoming, scores);
  } else {
    ScoresInt8<kQueries>(k_block, head_dim, q, upcoming, scores);
  }
}

inline bool HasInt4Values(KvStorage storage) {
  return storage == KvStorage::kInt4 || storage == KvStorage::kInt8Int4;
}

// The values of a block; scales and minima as floats [64][head_dim / 32].
struct ValueBlock {
  const std::byte* data;
  const float* scales;
  const float* minima;
};

// Room for the scales and minima of int4 values as floats.
using ValueScales = float[2 * kKvBlockTokens * kMaxHeadDim / 32];

inline ValueBlock OpenValues(const AttentionTile& tile, const std::byte* v_block, float* room) {
  const auto elements = static_cast<size_t>(tile.head_dim) * kKvBlockTokens;
  if (!HasInt4Values(tile.storage))
    return {v_block, reinterpret_cast<const float*>(v_block + elements), nullptr};
  const int count = kKvBlockTokens * tile.head_dim / 32;  // of scales, and of minima
  const auto* halves = reinterpret_cast<const uint16_t*>(v_block + elements / 2);
  for (int i = 0; i < 2 * count; i += 16) Store(room + i, LoadHalf(halves + i));
  return {v_block, room, room + count};
}

// 16 * kVectors channels of the weighted sum of V rows [begin, end) for kQueries queries: out = out
// * alpha + sum p[t] v[t], in order of t.
template <int kQueries, int kVectors>
inline void WeightedSum(const AttentionTile& tile, const ValueBlock& block, int channel, int begin,
                        int end, const float* const* p, const float* alpha,
                        const std::byte* upcoming, float* const* out) {
  const int groups = tile.head_dim / 32;
  V acc[kQueries][kVectors];
  for (int r = 0; r < kQueries; ++r) {
    for (int j = 0; j < kVectors; ++j)
      acc[r][j] = Mul(Load(out[r] + channel + 16 * j), Set1(alpha[r]));
  }
  if (tile.storage == KvStorage::kF16) {
    const auto* v = reinterpret_cast<const uint16_t*>(block.data) + channel;
    for (int t = begin; t < end; ++t) {
      if (upcoming != nullptr) {
        for (int j = 0; j < kVectors; j += 2)
          PrefetchNear(upcoming + (t * tile.head_dim + channel + 16 * j) * 2);
      }
      for (int j = 0; j < kVectors; ++j) {
        const V value = LoadHalf(v + t * tile.head_dim + 16 * j);
        for (int r = 0; r < kQueries; ++r) acc[r][j] = Fma(Set1(p[r][t]), value, acc[r][j]);
      }
    }
  } else if (HasInt4Values(tile.storage)) {
    const auto* v = reinterpret_cast<const uint8_t*>(block.data) + channel / 2;
    for (int t = begin; t < end; ++t) {
      const uint8_t* codes = v + t * (tile.head_dim / 2);
      if (upcoming != nullptr) PrefetchNear(upcoming + (t * tile.head_dim + channel) / 2);
      for (int j = 0; j < kVectors; j += 2) {
        const V scale = Set1(block.scales[t * groups + channel / 32 + j / 2]);
        const V minimum = Set1(block.minima[t * groups + channel / 32 + j / 2]);
        const V low = Fma(LoadLowNibbles(codes + 8 * j), scale, minimum);
        const V high = Fma(LoadHighNibbles(codes + 8 * j), scale, minimum);
        for (int r = 0; r < kQueries; ++r) {
          const V weight = Set1(p[r][t]);
          acc[r][j] = Fma(weight, low, acc[r][j]);
          acc[r][j + 1] = Fma(weight, high, acc[r][j + 1]);
        }
      }
    }
  } else {
    const auto* v = reinterpret_cast<const int8_t*>(block.data) + channel;
    for (int t = begin; t < end; ++t) {
      if (upcoming != nullptr) PrefetchNear(upcoming + t * tile.head_dim + channel);
      for (int j = 0; j < kVectors; ++j) {
        const V scale = Set1(block.scales[t * groups + channel / 32 + j / 2]);
        const V value = Mul(LoadInt8(v + t * tile.head_dim + 16 * j), scale);
        for (int r = 0; r < kQueries; ++r) acc[r][j] = Fma(Set1(p[r][t]), value, acc[r][j]);
      }
    }
  }
  for (int r = 0; r < kQueries; ++r) {
    for (int j = 0; j < kVectors; ++j) Store(out[r] + channel + 16 * j, acc[r][j]);
  }
}

template <int kQueries>
struct QueriesAtOnce {};

// Queries 0 to active - 1 in groups that share one read of keys or values: run(QueriesAtOnce<n>,
// first). Never one alone where it can be helped: heads in groups of six or seven are common.
template <typename Run>
inline void ForQueriesAtOnce(int active, const Run& run) {
  for (int first = 0; first < active;) {
    const int left = active - first;
    if (left >= 7 || left == 4) {
      run(QueriesAtOnce<4>(), first);
      first += 4;
    } else if (left >= 3) {
      run(QueriesAtOnce<3>(), first);
      first += 3;
    } else if (left == 2) {
      run(QueriesAtOnce<2>(), first);
      first += 2;
    } else {
      run(QueriesAtOnce<1>(), first);
      first += 1;
    }
  }
}

template <int kVectors>
inline void WeightedSums(const AttentionTile& tile, const ValueBlock& block, int channel, int begin,
                         int end, const float* const* p, const float* alpha,
                         const std::byte* upcoming, float* const* out, int active) {
  const auto run = [&]<int kQueries>(QueriesAtOnce<kQueries>, int a) {
    WeightedSum<kQueries, kVectors>(tile, block, channel, begin, end, p + a, alpha + a,
                                    a == 0 ? upcoming : nullptr, out + a);
  };
  ForQueriesAtOnce(active, run);
}

// Scores of one query with a block to e^(score - maximum), the sum and the maximum updated. Returns
// what earlier sums shrink by.
inline float SoftmaxBlock(const AttentionTile& tile, int query, int base, float* s,
                          AttentionState& state) {
  if (tile.softcap > 0) {
    for (int t = 0; t < kKvBlockTokens; t += 16) {
      Store(s + t, Mul(Tanh(Div(Load(s + t), Set1(tile.softcap))), Set1(tile.softcap)));
    }
  }
  for (int t = 0; t < tile.first[query] - base; ++t) s[t] = kNegativeInfinity;
  for (int t = tile.end[query] - base; t < kKvBlockTokens; ++t) s[t] = kNegativeInfinity;
  const float block_max =
      ReduceMax(Max(Max(Load(s), Load(s + 16)), Max(Load(s + 32), Load(s + 48))));
  const float new_max = state.maximum[query] > block_max ? state.maximum[query] : block_max;
  V sum = Set1(0.0f);
  for (int t = 0; t < kKvBlockTokens; t += 16) {
    const V e = Exp(Sub(Load(s + t), Set1(new_max)));
    Store(s + t, e);
    sum = Add(sum, e);
  }
  float rescale[16];
  Store(rescale, Exp(Set1(state.maximum[query] - new_max)));  // 0 the first time
  state.maximum[query] = new_max;
  state.total[query] = __builtin_fmaf(state.total[query], rescale[0], ReduceAdd(sum));
  return rescale[0];
}

void Attention(const AttentionTile& tile, int first_block, int last_block,
               AttentionState& state) noexcept {
  alignas(64) Scores scores;
  alignas(64) ValueScales value_scales;
  for (int r = 0; r < tile.num_queries; ++r) {
    state.maximum[r] = kNegativeInfinity;
    state.total[r] = 0;
    for (int d = 0; d < tile.head_dim; d += 16) Store(state.sum[r] + d, Set1(0.0f));
  }
  for (int block = first_block; block < last_block; ++block) {
    const int base = block * kKvBlockTokens;
    // Only queries that see a token of this block take part: a query must not notice who else is in
    // its tile.
    const float* q[kMaxTileQueries];
    float* out[kMaxTileQueries];
    int index[kMaxTileQueries];
    int active = 0, begin = kKvBlockTokens, end = 0;
    for (int r = 0; r < tile.num_queries; ++r) {
      if (tile.first[r] >= base + kKvBlockTokens || tile.end[r] <= base) continue;
      q[active] = tile.queries[r];
      out[active] = state.sum[r];
      index[active++] = r;
      const int from = tile.first[r] - base, to = tile.end[r] - base;
      begin = from < begin ? (from < 0 ? 0 : from) : begin;
      end = to > end ? (to > kKvBlockTokens ? kKvBlockTokens : to) : end;
    }
    if (active == 0) continue;
    const std::byte* k_block = tile.k_blocks[block];
    const std::byte* v_block = tile.v_blocks[block];
    const std::byte* next_keys = block + 1 < last_block ? tile.k_blocks[block + 1] : nullptr;
    const KvStorage keys = block == tile.open_block ? KvStorage::kF16 : tile.storage;
    const int head_dim = tile.head_dim;
    ForQueriesAtOnce(active, [&]<int kQueries>(QueriesAtOnce<kQueries>, int r) {
      ScoresOf<kQueries>(keys, head_dim, k_block, q + r, r == 0 ? v_block : nullptr, scores + r);
    });

    float alpha[kMaxTileQueries];
    const float* p[kMaxTileQueries];
    for (int a = 0; a < active; ++a) {
      p[a] = scores[a];
      alpha[a] = SoftmaxBlock(tile, index[a], base, scores[a], state);
    }
    const ValueBlock v = OpenValues(tile, v_block, value_scales);
    int channel = 0;
    for (; channel + 16 * kVectorsTogether <= tile.head_dim && kVectorsTogether > 2;
         channel += 16 * kVectorsTogether) {
      WeightedSums<kVectorsTogether>(tile, v, channel, begin, end, p, alpha, next_keys, out,
                                     active);
    }
    for (; channel < tile.head_dim; channel += 32) {
      WeightedSums<2>(tile, v, channel, begin, end, p, alpha, next_keys, out, active);
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

// One step of the Hadamard matrix within vectors: lanes i and i ^ kDistance to their sum and
// difference. Multiplied by 1 and -1, so that each is one exact operation and one rounding.
template <int kDistance>
inline void TurnLanes(float* x, int n) {
  float signs[16];
  for (int i = 0; i < 16; ++i) signs[i] = (i & kDistance) != 0 ? -1.0f : 1.0f;
  const V sign = Load(signs);
  for (int i = 0; i < n; i += 16) {
    const V v = Load(x + i);
    Store(x + i, Fma(v, sign, Swap<kDistance>(v)));
  }
}

// Turns the n channels of a head by orthonormal Hadamard matrices, each as large as a power of two
// that divides n may be. Its own inverse.
inline void Turn(float* x, int n) {
  TurnLanes<1>(x, n);
  TurnLanes<2>(x, n);
  TurnLanes<4>(x, n);
  TurnLanes<8>(x, n);
  const int size = n & -n;
  for (int distance = 16; distance < size; distance *= 2) {
    for (int i = 0; i < n; i += 16) {
      if ((i & distance) != 0) continue;
      const V a = Load(x + i), b = Load(x + i + distance);
      Store(x + i, Add(a, b));
      Store(x + i + distance, Sub(a, b));
    }
  }
  const V scale = Set1(__builtin_sqrtf(1.0f / static_cast<float>(size)));
  for (int i = 0; i < n; i += 16) Store(x + i, Mul(Load(x + i), scale));
}

void AttentionFinish(KvStorage storage, const AttentionState& state, int num_queries, int head_dim,
                     float* const* out) noexcept {
  for (int r = 0; r < num_queries; ++r) {
    const V inverse = Set1(1.0f / state.total[r]);
    for (int d = 0; d < head_dim; d += 16) Store(out[r] + d, Mul(Load(state.sum[r] + d), inverse));
    if (HasInt4Values(storage)) Turn(out[r], head_dim);
  }
}

// 32 channels of one token as int8 with one scale.
inline float QuantizeGroup(const float* x, int8_t* q) {
  const V lo = Load(x), hi = Load(x + 16);
  const float amax = ReduceMax(Max(Abs(lo), Abs(hi)));
  const V inverse = Set1(amax > kSmallestMaximum ? 127.0f / amax : 0.0f);
  V q_lo = Round(Mul(lo, inverse)), q_hi = Round(Mul(hi, inverse));
  const bool finite = ReduceAdd(Add(q_lo, q_hi)) <= 32 * 127.0f;
  if (!finite) q_lo = q_hi = Set1(0.0f);
  StoreInt8(q, q_lo);
  StoreInt8(q + 16, q_hi);
  return finite ? amax / 127.0f : __builtin_nanf("");
}

// The float that `x` becomes as a half.
inline float AsHalf(float x, uint16_t* half) {
  uint16_t halves[16];
  float rounded[16];
  StoreHalf(halves, Set1(x));
  Store(rounded, LoadHalf(halves));
  *half = halves[0];
  return rounded[0];
}

// 32 floats as codes 0 to 15 between their minimum and maximum. What is not finite, or too large
// for a half, becomes NaN.
inline void QuantizeGroup4(V lo, V hi, int8_t* q, uint16_t* scale_half, uint16_t* minimum_half) {
  constexpr uint16_t kHalfNan = 0x7e00;
  constexpr float kLargestHalf = 65504.0f;
  const float maximum = ReduceMax(Max(lo, hi));
  const float minimum = -ReduceMax(Max(Sub(Set1(0.0f), lo), Sub(Set1(0.0f), hi)));
  const float sum = ReduceAdd(Add(lo, hi));
  if (!(sum - sum == 0) || maximum > kLargestHalf || minimum < -kLargestHalf) {
    *scale_half = *minimum_half = kHalfNan;
    StoreInt8(q, Set1(0.0f));
    StoreInt8(q + 16, Set1(0.0f));
    return;
  }
  const float base = AsHalf(minimum, minimum_half);
  const float scale = AsHalf((maximum - base) * (1.0f / 15), scale_half);
  const V inverse = Set1(scale > 0 ? 1.0f / scale : 0.0f), least = Set1(0.0f), most = Set1(15.0f);
  const V offset = Set1(base);
  StoreInt8(q, Min(Max(Round(Mul(Sub(lo, offset), inverse)), least), most));
  StoreInt8(q + 16, Min(Max(Round(Mul(Sub(hi, offset), inverse)), least), most));
}

inline void StoreKeyF16(const float* k, int head_dim, int slot, std::byte* k_block) {
  auto* keys = reinterpret_cast<uint16_t*>(k_block);
  for (int d = 0; d < head_dim; d += 16) {
    uint16_t half[16];
    StoreHalf(half, Load(k + d));
    for (int i = 0; i < 16; ++i) keys[(d + i) * kKvBlockTokens + slot] = half[i];
  }
}

inline void StoreValueF16(const float* v, int head_dim, int slot, std::byte* v_block) {
  auto* values = reinterpret_cast<uint16_t*>(v_block) + slot * head_dim;
  for (int d = 0; d < head_dim; d += 16) StoreHalf(values + d, Load(v + d));
}

inline void StoreKeyInt8(const float* k, int head_dim, int slot, std::byte* k_block) {
  auto* keys = reinterpret_cast<int8_t*>(k_block);
  auto* scales = reinterpret_cast<float*>(k_block + static_cast<size_t>(head_dim) * kKvBlockTokens);
  for (int group = 0; group < head_dim / 32; ++group) {
    int8_t q[32];
    scales[group * kKvBlockTokens + slot] = QuantizeGroup(k + group * 32, q);
    for (int i = 0; i < 32; ++i) keys[(group * 32 + i) * kKvBlockTokens + slot] = q[i];
  }
}

inline void StoreValueInt8(const float* v, int head_dim, int slot, std::byte* v_block) {
  auto* values = reinterpret_cast<int8_t*>(v_block) + slot * head_dim;
  auto* scales = reinterpret_cast<float*>(v_block + static_cast<size_t>(head_dim) * kKvBlockTokens);
  for (int group = 0; group < head_dim / 32; ++group) {
    scales[slot * (head_dim / 32) + group] = QuantizeGroup(v + group * 32, values + group * 32);
  }
}

inline void StoreValueInt4(const float* v, int head_dim, int slot, std::byte* v_block) {
  alignas(64) float turned[kMaxHeadDim];
  for (int d = 0; d < head_dim; d += 16) Store(turned + d, Load(v + d));
  Turn(turned, head_dim);
  const int groups = head_dim / 32;
  auto* codes = reinterpret_cast<uint8_t*>(v_block) + slot * (head_dim / 2);
  auto* scales =
      reinterpret_cast<uint16_t*>(v_block + static_cast<size_t>(head_dim) * (kKvBlockTokens / 2)) +
      slot * groups;
  uint16_t* minima = scales + kKvBlockTokens * groups;
  for (int group = 0; group < groups; ++group) {
    int8_t q[32];
    QuantizeGroup4(Load(turned + group * 32), Load(turned + group * 32 + 16), q, scales + group,
                   minima + group);
    for (int i = 0; i < 16; ++i)
      codes[group * 16 + i] = static_cast<uint8_t>(q[i] | q[16 + i] << 4);
  }
}

void StoreKv(KvStorage storage, const float* k, const float* v, int head_dim, int slot,
             std::byte* k_block, std::byte* v_block) noexcept {
  if (storage == KvStorage::kF16 || storage == KvStorage::kInt4) {
    StoreKeyF16(k, head_dim, slot, k_block);
  } else {
    StoreKeyInt8(k, head_dim, slot, k_block);
  }
  if (storage == KvStorage::kF16) {
    StoreValueF16(v, head_dim, slot, v_block);
  } else if (storage == KvStorage::kInt8) {
    StoreValueInt8(v, head_dim, slot, v_block);
  } else {
    StoreValueInt4(v, head_dim, slot, v_block);
  }
}

void CloseKeys(const std::byte* open_keys, int head_dim, std::byte* k_block) noexcept {
  const auto* keys = reinterpret_cast<const uint16_t*>(open_keys);
  auto* codes = reinterpret_cast<uint8_t*>(k_block);
  auto* scales =
      reinterpret_cast<uint16_t*>(k_block + static_cast<size_t>(head_dim) * (kKvBlockTokens / 2));
  uint16_t* minima = scales + 2 * head_dim;
  for (int d = 0; d < head_dim; ++d) {
    int8_t q[2][32];
    for (int half = 0; half < 2; ++half) {
      const uint16_t* tokens = keys + d * kKvBlockTokens + half * 32;
      QuantizeGroup4(LoadHalf(tokens), LoadHalf(tokens + 16), q[half], scales + half * head_dim + d,
                     minima + half * head_dim + d);
    }
    for (int i = 0; i < 32; ++i) codes[d * 32 + i] = static_cast<uint8_t>(q[0][i] | q[1][i] << 4);
  }
}

}  // namespace
