// The attention kernels and the layout of the KV cache, over the vector V of an ISA's simd.h.
// Included by float_kernels_inl.h.
//
// While the scores of a block are computed its values are prefetched, and during the weighted sum
// the next block's keys: K and V of a head lie in blocks all over the cache, too short for the
// hardware to notice a stream.

#include <stddef.h>
#include <stdint.h>

#include "runtime/kernels/kernels.h"

namespace {

using hearth::AttentionState;
using hearth::AttentionTile;
using hearth::kKvBlockTokens;
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

inline void Prefetch(const std::byte* p) { __builtin_prefetch(p); }

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
        Prefetch(upcoming + d * 2 * kCacheLine);
        Prefetch(upcoming + d * 2 * kCacheLine + kCacheLine);
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
        if (first == 0 && upcoming != nullptr) Prefetch(upcoming + d * kCacheLine);
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

template <int kQueries>
inline void ScoresOf(const AttentionTile& tile, const std::byte* k_block, const float* const* q,
                     const std::byte* upcoming, float (*scores)[kKvBlockTokens]) {
  if (tile.storage == KvStorage::kF16) {
    ScoresF16<kQueries>(k_block, tile.head_dim, q, upcoming, scores);
  } else {
    ScoresInt8<kQueries>(k_block, tile.head_dim, q, upcoming, scores);
  }
}

// 16 * kVectors channels of the weighted sum of V rows [begin, end) for kQueries queries: out = out
// * alpha + sum p[t] v[t], in order of t.
template <int kQueries, int kVectors>
inline void WeightedSum(const AttentionTile& tile, const std::byte* v_block, int channel, int begin,
                        int end, const float* const* p, const float* alpha,
                        const std::byte* upcoming, float* const* out) {
  V acc[kQueries][kVectors];
  for (int r = 0; r < kQueries; ++r) {
    for (int j = 0; j < kVectors; ++j)
      acc[r][j] = Mul(Load(out[r] + channel + 16 * j), Set1(alpha[r]));
  }
  if (tile.storage == KvStorage::kF16) {
    const auto* v = reinterpret_cast<const uint16_t*>(v_block) + channel;
    for (int t = begin; t < end; ++t) {
      if (upcoming != nullptr) {
        for (int j = 0; j < kVectors; j += 2)
          Prefetch(upcoming + (t * tile.head_dim + channel + 16 * j) * 2);
      }
      for (int j = 0; j < kVectors; ++j) {
        const V value = LoadHalf(v + t * tile.head_dim + 16 * j);
        for (int r = 0; r < kQueries; ++r) acc[r][j] = Fma(Set1(p[r][t]), value, acc[r][j]);
      }
    }
  } else {
    const auto* v = reinterpret_cast<const int8_t*>(v_block) + channel;
    const auto* scales = reinterpret_cast<const float*>(
        v_block + static_cast<size_t>(tile.head_dim) * kKvBlockTokens);
    for (int t = begin; t < end; ++t) {
      if (upcoming != nullptr) Prefetch(upcoming + t * tile.head_dim + channel);
      for (int j = 0; j < kVectors; ++j) {
        const V scale = Set1(scales[t * (tile.head_dim / 32) + channel / 32 + j / 2]);
        const V value = Mul(LoadInt8(v + t * tile.head_dim + 16 * j), scale);
        for (int r = 0; r < kQueries; ++r) acc[r][j] = Fma(Set1(p[r][t]), value, acc[r][j]);
      }
    }
  }
  for (int r = 0; r < kQueries; ++r) {
    for (int j = 0; j < kVectors; ++j) Store(out[r] + channel + 16 * j, acc[r][j]);
  }
}

template <int kVectors>
inline void WeightedSums(const AttentionTile& tile, const std::byte* v_block, int channel,
                         int begin, int end, const float* const* p, const float* alpha,
                         const std::byte* upcoming, float* const* out, int active) {
  int a = 0;
  for (; a + 4 <= active; a += 4) {
    WeightedSum<4, kVectors>(tile, v_block, channel, begin, end, p + a, alpha + a,
                             a == 0 ? upcoming : nullptr, out + a);
  }
  for (; a + 3 <= active; a += 3) {
    WeightedSum<3, kVectors>(tile, v_block, channel, begin, end, p + a, alpha + a,
                             a == 0 ? upcoming : nullptr, out + a);
  }
  for (; a < active; ++a) {
    WeightedSum<1, kVectors>(tile, v_block, channel, begin, end, p + a, alpha + a,
                             a == 0 ? upcoming : nullptr, out + a);
  }
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
    int r = 0;
    for (; r + 4 <= active; r += 4)
      ScoresOf<4>(tile, k_block, q + r, r == 0 ? v_block : nullptr, scores + r);
    for (; r + 3 <= active; r += 3)
      ScoresOf<3>(tile, k_block, q + r, r == 0 ? v_block : nullptr, scores + r);
    for (; r < active; ++r)
      ScoresOf<1>(tile, k_block, q + r, r == 0 ? v_block : nullptr, scores + r);

    float alpha[kMaxTileQueries];
    const float* p[kMaxTileQueries];
    for (int a = 0; a < active; ++a) {
      p[a] = scores[a];
      alpha[a] = SoftmaxBlock(tile, index[a], base, scores[a], state);
    }
    int channel = 0;
    for (; channel + 16 * kVectorsTogether <= tile.head_dim && kVectorsTogether > 2;
         channel += 16 * kVectorsTogether) {
      WeightedSums<kVectorsTogether>(tile, v_block, channel, begin, end, p, alpha, next_keys, out,
                                     active);
    }
    for (; channel < tile.head_dim; channel += 32) {
      WeightedSums<2>(tile, v_block, channel, begin, end, p, alpha, next_keys, out, active);
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

void AttentionFinish(const AttentionState& state, int num_queries, int head_dim,
                     float* const* out) noexcept {
  for (int r = 0; r < num_queries; ++r) {
    const V inverse = Set1(1.0f / state.total[r]);
    for (int d = 0; d < head_dim; d += 16) Store(out[r] + d, Mul(Load(state.sum[r] + d), inverse));
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

void StoreKv(KvStorage storage, const float* k, const float* v, int head_dim, int slot,
             std::byte* k_block, std::byte* v_block) noexcept {
  if (storage == KvStorage::kF16) {
    auto* keys = reinterpret_cast<uint16_t*>(k_block);
    auto* values = reinterpret_cast<uint16_t*>(v_block) + slot * head_dim;
    for (int d = 0; d < head_dim; d += 16) {
      uint16_t half[16];
      StoreHalf(half, Load(k + d));
      for (int i = 0; i < 16; ++i) keys[(d + i) * kKvBlockTokens + slot] = half[i];
      StoreHalf(values + d, Load(v + d));
    }
    return;
  }
  auto* keys = reinterpret_cast<int8_t*>(k_block);
  auto* values = reinterpret_cast<int8_t*>(v_block);
  const auto elements = static_cast<size_t>(head_dim) * kKvBlockTokens;
  auto* key_scales = reinterpret_cast<float*>(k_block + elements);
  auto* value_scales = reinterpret_cast<float*>(v_block + elements);
  for (int group = 0; group < head_dim / 32; ++group) {
    int8_t q[32];
    key_scales[group * kKvBlockTokens + slot] = QuantizeGroup(k + group * 32, q);
    for (int i = 0; i < 32; ++i) keys[(group * 32 + i) * kKvBlockTokens + slot] = q[i];
    value_scales[slot * (head_dim / 32) + group] =
        QuantizeGroup(v + group * 32, values + slot * head_dim + group * 32);
  }
}

}  // namespace
