// The float kernels, written once over sixteen-lane vectors. Each ISA folder includes this after its own simd.h, so that it is
// compiled once per instruction set with that folder's flags; every instruction set runs the same operations on the same
// lanes in the same order. Everything is in an anonymous namespace: nothing of one instruction set can be linked for another.
// No include guard on purpose: not a header for anybody else. Needs: V and its operations.

#include <stddef.h>
#include <stdint.h>

#include "runtime/kernels/kernels.h"

namespace {

using hearth::ActBlock;
using hearth::AttentionTile;
using hearth::kKvBlockTokens;
using hearth::kMaxTileQueries;
using hearth::KvStorage;

constexpr float kNegativeInfinity = -__builtin_inff();

// Lanes are added in a tree: halves, quarters, eighths, pairs.
inline float ReduceAdd(V a) {
  float v[16];
  Store(v, a);
  for (int width = 8; width >= 1; width /= 2) {
    for (int i = 0; i < width; ++i) v[i] += v[i + width];
  }
  return v[0];
}

inline float ReduceMax(V a) {
  float v[16];
  Store(v, a);
  for (int width = 8; width >= 1; width /= 2) {
    for (int i = 0; i < width; ++i) v[i] = v[i] > v[i + width] ? v[i] : v[i + width];
  }
  return v[0];
}

// e^x: x = n ln 2 + r, e^r by its Taylor polynomial of degree 7 (|r| <= 0.35: relative error below 2e-7). 0 below -87.
inline V Exp(V x) {
  const V clamped = Min(Max(x, Set1(-87.0f)), Set1(88.0f));
  const V n = Round(Mul(clamped, Set1(1.44269504f)));
  V r = Fma(n, Set1(-0.693359375f), clamped);  // ln 2 in two parts (Cody and Waite)
  r = Fma(n, Set1(2.12194440e-4f), r);
  V p = Set1(1.0f / 5040);
  p = Fma(p, r, Set1(1.0f / 720));
  p = Fma(p, r, Set1(1.0f / 120));
  p = Fma(p, r, Set1(1.0f / 24));
  p = Fma(p, r, Set1(1.0f / 6));
  p = Fma(p, r, Set1(0.5f));
  p = Fma(p, r, Set1(1.0f));
  p = Fma(p, r, Set1(1.0f));
  return SelectLess(x, Set1(-87.0f), Set1(0.0f), Mul(p, PowerOfTwo(n)));
}

inline V Tanh(V x) {
  const V e = Exp(Mul(x, Set1(2.0f)));
  return Sub(Set1(1.0f), Div(Set1(2.0f), Add(e, Set1(1.0f))));
}

void UnpackF16(const std::byte* strip, size_t count, float* out) noexcept {
  const auto* in = reinterpret_cast<const uint16_t*>(strip);
  for (size_t i = 0; i < count; i += 16) Store(out + i, LoadHalf(in + i));
}

void UnpackBf16(const std::byte* strip, size_t count, float* out) noexcept {
  const auto* in = reinterpret_cast<const uint16_t*>(strip);
  for (size_t i = 0; i < count; i += 16) Store(out + i, LoadBfloat16(in + i));
}

template <int kColumns>
inline void FloatMatmulColumns(const float* panel, int num_inputs, const float* x, size_t x_stride, float* out,
                               size_t out_stride) {
  V acc[kColumns][4];
  for (int c = 0; c < kColumns; ++c) {
    for (int chain = 0; chain < 4; ++chain) acc[c][chain] = Set1(0.0f);
  }
  for (int k = 0; k < num_inputs; k += 4) {
    for (int chain = 0; chain < 4; ++chain) {
      const V w = Load(panel + static_cast<size_t>(k + chain) * 16);
      for (int c = 0; c < kColumns; ++c) acc[c][chain] = Fma(Set1(x[c * x_stride + k + chain]), w, acc[c][chain]);
    }
  }
  for (int c = 0; c < kColumns; ++c) {
    Store(out + c * out_stride, Add(Add(acc[c][0], acc[c][1]), Add(acc[c][2], acc[c][3])));
  }
}

void FloatMatmul(const float* panel, int num_inputs, const float* x, size_t x_stride, int num_columns, float* out,
                 size_t out_stride) noexcept {
  int c = 0;
  for (; c + 4 <= num_columns; c += 4) {
    FloatMatmulColumns<4>(panel, num_inputs, x + c * x_stride, x_stride, out + c * out_stride, out_stride);
  }
  for (; c < num_columns; ++c) {
    FloatMatmulColumns<1>(panel, num_inputs, x + c * x_stride, x_stride, out + c * out_stride, out_stride);
  }
}

// Below it 127 / maximum would overflow; such blocks are zero for all that follows.
constexpr float kSmallestMaximum = 1e-30f;

void Quantize(const float* x, int num_blocks, ActBlock* out, size_t stride) noexcept {
  for (int b = 0; b < num_blocks; ++b) {
    const V lo = Load(x + b * 32), hi = Load(x + b * 32 + 16);
    ActBlock& block = out[b * stride];
    const float amax = ReduceMax(Max(Abs(lo), Abs(hi)));
    const float inverse = amax > kSmallestMaximum ? 127.0f / amax : 0.0f;
    V q_lo = Round(Mul(lo, Set1(inverse))), q_hi = Round(Mul(hi, Set1(inverse)));
    float sum0 = ReduceAdd(q_lo), sum1 = ReduceAdd(q_hi);  // integral and small: exact
    float scale = amax / 127.0f;
    if (!(sum0 + sum1 <= 32 * 127.0f)) {  // a NaN or an infinity among them, which no code can say
      q_lo = q_hi = Set1(0.0f);
      sum0 = sum1 = 0;
      scale = __builtin_nanf("");
    }
    StoreInt8(block.q, q_lo);
    StoreInt8(block.q + 16, q_hi);
    block.d = scale;
    block.s = block.d * (sum0 + sum1);
    block.s0 = block.d * sum0;
    block.s1 = block.d * sum1;
    block.neg_sum0 = -static_cast<int32_t>(sum0);
    block.neg_sum1 = -static_cast<int32_t>(sum1);
    block.neg_sum = block.neg_sum0 + block.neg_sum1;
    block.unused = 0;
  }
}

void RmsNorm(const float* x, const float* weight, float eps, int n, float* out) noexcept {
  V sum = Set1(0.0f);
  for (int i = 0; i < n; i += 16) {
    const V v = Load(x + i);
    sum = Fma(v, v, sum);
  }
  const float scale = 1.0f / __builtin_sqrtf(ReduceAdd(sum) / static_cast<float>(n) + eps);
  for (int i = 0; i < n; i += 16) Store(out + i, Mul(Mul(Load(x + i), Set1(scale)), Load(weight + i)));
}

void LayerNorm(const float* x, const float* weight, const float* bias, float eps, int n, float* out) noexcept {
  V sum = Set1(0.0f);
  for (int i = 0; i < n; i += 16) sum = Add(sum, Load(x + i));
  const V mean = Set1(ReduceAdd(sum) / static_cast<float>(n));
  V squares = Set1(0.0f);
  for (int i = 0; i < n; i += 16) {
    const V centred = Sub(Load(x + i), mean);
    squares = Fma(centred, centred, squares);
  }
  const V scale = Set1(1.0f / __builtin_sqrtf(ReduceAdd(squares) / static_cast<float>(n) + eps));
  for (int i = 0; i < n; i += 16) {
    Store(out + i, Fma(Mul(Sub(Load(x + i), mean), scale), Load(weight + i), Load(bias + i)));
  }
}

void AddInPlace(float* x, const float* y, int n) noexcept {
  for (int i = 0; i < n; i += 16) Store(x + i, Add(Load(x + i), Load(y + i)));
}

void SiluMul(const float* gate, const float* up, int n, float* out) noexcept {
  for (int i = 0; i < n; i += 16) {
    const V g = Load(gate + i);
    const V silu = Div(g, Add(Set1(1.0f), Exp(Sub(Set1(0.0f), g))));
    Store(out + i, Mul(silu, Load(up + i)));
  }
}

void GeluMul(const float* gate, const float* up, int n, float* out) noexcept {
  for (int i = 0; i < n; i += 16) {
    const V g = Load(gate + i);
    const V inner = Mul(Set1(0.79788456f), Fma(Mul(Mul(g, g), g), Set1(0.044715f), g));
    const V gelu = Mul(Mul(Set1(0.5f), g), Add(Set1(1.0f), Tanh(inner)));
    Store(out + i, Mul(gelu, Load(up + i)));
  }
}

// erf by Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
inline V Erf(V x) {
  const V a = Abs(x);
  const V t = Div(Set1(1.0f), Fma(a, Set1(0.3275911f), Set1(1.0f)));
  V p = Set1(1.061405429f);
  p = Fma(p, t, Set1(-1.453152027f));
  p = Fma(p, t, Set1(1.421413741f));
  p = Fma(p, t, Set1(-0.284496736f));
  p = Fma(p, t, Set1(0.254829592f));
  const V magnitude = Sub(Set1(1.0f), Mul(Mul(p, t), Exp(Sub(Set1(0.0f), Mul(a, a)))));
  return SelectLess(x, Set1(0.0f), Sub(Set1(0.0f), magnitude), magnitude);
}

void Gelu(float* x, int n) noexcept {
  for (int i = 0; i < n; i += 16) {
    const V v = Load(x + i);
    Store(x + i, Mul(Mul(Set1(0.5f), v), Add(Set1(1.0f), Erf(Mul(v, Set1(0.70710678f))))));
  }
}

void Rope(float* head, const float* cos_sin, int rope_dim, bool interleaved) noexcept {
  const int half = rope_dim / 2;
  const int step = interleaved ? 1 : half;
  for (int i = 0; i < half; ++i) {
    float* first = head + (interleaved ? 2 * i : i);
    const float a = first[0], b = first[step];
    const float c = cos_sin[i], s = cos_sin[half + i];
    first[0] = __builtin_fmaf(a, c, -(b * s));
    first[step] = __builtin_fmaf(a, s, b * c);
  }
}

float Dot(const float* x, const float* y, int n) noexcept {
  V sum = Set1(0.0f);
  int i = 0;
  for (; i + 16 <= n; i += 16) sum = Fma(Load(x + i), Load(y + i), sum);
  float total = ReduceAdd(sum);
  for (; i < n; ++i) total = __builtin_fmaf(x[i], y[i], total);
  return total;
}

double SumExp(const float* x, int n, float maximum) noexcept {
  double total = 0;
  for (int i = 0; i < n; i += 256) {
    V sum = Set1(0.0f);
    for (int j = i; j < i + 256 && j < n; j += 16) {
      float lanes[16];
      for (int lane = 0; lane < 16; ++lane) lanes[lane] = j + lane < n ? x[j + lane] : kNegativeInfinity;
      sum = Add(sum, Exp(Sub(Load(lanes), Set1(maximum))));
    }
    total += ReduceAdd(sum);
  }
  return total;
}

// ---- attention ----

using Scores = float[kMaxTileQueries][kKvBlockTokens];

template <int kQueries>
inline void ScoresF16(const std::byte* k_block, int head_dim, const float* const* q, float (*scores)[kKvBlockTokens]) {
  const auto* k = reinterpret_cast<const uint16_t*>(k_block);
  V acc[kQueries][4];
  for (int r = 0; r < kQueries; ++r) {
    for (int j = 0; j < 4; ++j) acc[r][j] = Set1(0.0f);
  }
  for (int d = 0; d < head_dim; ++d) {
    for (int j = 0; j < 4; ++j) {
      const V channel = LoadHalf(k + d * kKvBlockTokens + 16 * j);
      for (int r = 0; r < kQueries; ++r) acc[r][j] = Fma(Set1(q[r][d]), channel, acc[r][j]);
    }
  }
  for (int r = 0; r < kQueries; ++r) {
    for (int j = 0; j < 4; ++j) Store(scores[r] + 16 * j, acc[r][j]);
  }
}

template <int kQueries>
inline void ScoresInt8(const std::byte* k_block, int head_dim, const float* const* q, float (*scores)[kKvBlockTokens]) {
  const auto* k = reinterpret_cast<const int8_t*>(k_block);
  const auto* scales = reinterpret_cast<const float*>(k_block + static_cast<size_t>(head_dim) * kKvBlockTokens);
  for (int j = 0; j < 4; ++j) {
    V acc[kQueries];
    for (int r = 0; r < kQueries; ++r) acc[r] = Set1(0.0f);
    for (int group = 0; group < head_dim / 32; ++group) {
      V part[kQueries];
      for (int r = 0; r < kQueries; ++r) part[r] = Set1(0.0f);
      for (int d = group * 32; d < group * 32 + 32; ++d) {
        const V channel = LoadInt8(k + d * kKvBlockTokens + 16 * j);
        for (int r = 0; r < kQueries; ++r) part[r] = Fma(Set1(q[r][d]), channel, part[r]);
      }
      const V scale = Load(scales + group * kKvBlockTokens + 16 * j);
      for (int r = 0; r < kQueries; ++r) acc[r] = Fma(part[r], scale, acc[r]);
    }
    for (int r = 0; r < kQueries; ++r) Store(scores[r] + 16 * j, acc[r]);
  }
}

template <int kQueries>
inline void ScoresOf(const AttentionTile& tile, const std::byte* k_block, const float* const* q,
                     float (*scores)[kKvBlockTokens]) {
  if (tile.storage == KvStorage::kF16) {
    ScoresF16<kQueries>(k_block, tile.head_dim, q, scores);
  } else {
    ScoresInt8<kQueries>(k_block, tile.head_dim, q, scores);
  }
}

// 32 channels of the weighted sum of V rows [begin, end) for kQueries queries: out = out * alpha + sum p[t] v[t], in order of t.
template <int kQueries>
inline void WeightedSum(const AttentionTile& tile, const std::byte* v_block, int channel, int begin, int end,
                        const float* const* p, const float* alpha, float* const* out) {
  V acc[kQueries][2];
  for (int r = 0; r < kQueries; ++r) {
    acc[r][0] = Mul(Load(out[r] + channel), Set1(alpha[r]));
    acc[r][1] = Mul(Load(out[r] + channel + 16), Set1(alpha[r]));
  }
  if (tile.storage == KvStorage::kF16) {
    const auto* v = reinterpret_cast<const uint16_t*>(v_block) + channel;
    for (int t = begin; t < end; ++t) {
      const V v0 = LoadHalf(v + t * tile.head_dim), v1 = LoadHalf(v + t * tile.head_dim + 16);
      for (int r = 0; r < kQueries; ++r) {
        acc[r][0] = Fma(Set1(p[r][t]), v0, acc[r][0]);
        acc[r][1] = Fma(Set1(p[r][t]), v1, acc[r][1]);
      }
    }
  } else {
    const auto* v = reinterpret_cast<const int8_t*>(v_block) + channel;
    const auto* scales = reinterpret_cast<const float*>(v_block + static_cast<size_t>(tile.head_dim) * kKvBlockTokens);
    for (int t = begin; t < end; ++t) {
      const V scale = Set1(scales[t * (tile.head_dim / 32) + channel / 32]);
      const V v0 = Mul(LoadInt8(v + t * tile.head_dim), scale), v1 = Mul(LoadInt8(v + t * tile.head_dim + 16), scale);
      for (int r = 0; r < kQueries; ++r) {
        acc[r][0] = Fma(Set1(p[r][t]), v0, acc[r][0]);
        acc[r][1] = Fma(Set1(p[r][t]), v1, acc[r][1]);
      }
    }
  }
  for (int r = 0; r < kQueries; ++r) {
    Store(out[r] + channel, acc[r][0]);
    Store(out[r] + channel + 16, acc[r][1]);
  }
}

void Attention(const AttentionTile& tile) noexcept {
  alignas(64) float accumulated[kMaxTileQueries][256];
  alignas(64) Scores scores;
  float maximum[kMaxTileQueries], total[kMaxTileQueries];
  int first_block = tile.first[0] / kKvBlockTokens, last_block = (tile.end[0] - 1) / kKvBlockTokens;
  for (int r = 0; r < tile.num_queries; ++r) {
    maximum[r] = kNegativeInfinity;
    total[r] = 0;
    for (int d = 0; d < tile.head_dim; d += 16) Store(accumulated[r] + d, Set1(0.0f));
    const int from = tile.first[r] / kKvBlockTokens, to = (tile.end[r] - 1) / kKvBlockTokens;
    first_block = from < first_block ? from : first_block;
    last_block = to > last_block ? to : last_block;
  }

  for (int block = first_block; block <= last_block; ++block) {
    const int base = block * kKvBlockTokens;
    // Only queries that see a token of this block take part: a query must not notice who else is in its tile.
    const float* q[kMaxTileQueries];
    float* out[kMaxTileQueries];
    int index[kMaxTileQueries];
    int active = 0, begin = kKvBlockTokens, end = 0;
    for (int r = 0; r < tile.num_queries; ++r) {
      if (tile.first[r] >= base + kKvBlockTokens || tile.end[r] <= base) continue;
      q[active] = tile.queries[r];
      out[active] = accumulated[r];
      index[active++] = r;
      const int from = tile.first[r] - base, to = tile.end[r] - base;
      begin = from < begin ? (from < 0 ? 0 : from) : begin;
      end = to > end ? (to > kKvBlockTokens ? kKvBlockTokens : to) : end;
    }
    int r = 0;
    for (; r + 4 <= active; r += 4) ScoresOf<4>(tile, tile.k_blocks[block], q + r, scores + r);
    for (; r + 3 <= active; r += 3) ScoresOf<3>(tile, tile.k_blocks[block], q + r, scores + r);
    for (; r < active; ++r) ScoresOf<1>(tile, tile.k_blocks[block], q + r, scores + r);

    float alpha[kMaxTileQueries];
    const float* p[kMaxTileQueries];
    for (int a = 0; a < active; ++a) {
      float* s = scores[a];
      p[a] = s;
      const int query = index[a];
      if (tile.softcap > 0) {
        for (int t = 0; t < kKvBlockTokens; t += 16) {
          Store(s + t, Mul(Tanh(Div(Load(s + t), Set1(tile.softcap))), Set1(tile.softcap)));
        }
      }
      for (int t = 0; t < tile.first[query] - base; ++t) s[t] = kNegativeInfinity;
      for (int t = tile.end[query] - base; t < kKvBlockTokens; ++t) s[t] = kNegativeInfinity;
      const float block_max =
          ReduceMax(Max(Max(Load(s), Load(s + 16)), Max(Load(s + 32), Load(s + 48))));
      const float new_max = maximum[query] > block_max ? maximum[query] : block_max;
      V sum = Set1(0.0f);
      for (int t = 0; t < kKvBlockTokens; t += 16) {
        const V e = Exp(Sub(Load(s + t), Set1(new_max)));
        Store(s + t, e);
        sum = Add(sum, e);
      }
      float rescale[16];
      Store(rescale, Exp(Set1(maximum[query] - new_max)));  // 0 the first time
      alpha[a] = rescale[0];
      maximum[query] = new_max;
      total[query] = __builtin_fmaf(total[query], alpha[a], ReduceAdd(sum));
    }
    for (int channel = 0; channel < tile.head_dim; channel += 32) {
      int a = 0;
      for (; a + 4 <= active; a += 4) {
        WeightedSum<4>(tile, tile.v_blocks[block], channel, begin, end, p + a, alpha + a, out + a);
      }
      for (; a + 3 <= active; a += 3) {
        WeightedSum<3>(tile, tile.v_blocks[block], channel, begin, end, p + a, alpha + a, out + a);
      }
      for (; a < active; ++a) {
        WeightedSum<1>(tile, tile.v_blocks[block], channel, begin, end, p + a, alpha + a, out + a);
      }
    }
  }
  for (int r = 0; r < tile.num_queries; ++r) {
    const V inverse = Set1(1.0f / total[r]);
    for (int d = 0; d < tile.head_dim; d += 16) Store(tile.out[r] + d, Mul(Load(accumulated[r] + d), inverse));
  }
}

// 32 channels of one token as int8 with one scale.
inline float QuantizeGroup(const float* x, int8_t* q) {
  const V lo = Load(x), hi = Load(x + 16);
  const float amax = ReduceMax(Max(Abs(lo), Abs(hi)));
  const V inverse = Set1(amax > 0 ? 127.0f / amax : 0.0f);
  StoreInt8(q, Round(Mul(lo, inverse)));
  StoreInt8(q + 16, Round(Mul(hi, inverse)));
  return amax / 127.0f;
}

void StoreKv(KvStorage storage, const float* k, const float* v, int head_dim, int slot, std::byte* k_block,
             std::byte* v_block) noexcept {
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
    value_scales[slot * (head_dim / 32) + group] = QuantizeGroup(v + group * 32, values + slot * head_dim + group * 32);
  }
}

// The float half of a table.
constexpr void FillFloatKernels(hearth::KernelTable& table) {
  table.unpack_f16 = UnpackF16;
  table.unpack_bf16 = UnpackBf16;
  table.float_matmul = FloatMatmul;
  table.quantize = Quantize;
  table.rms_norm = RmsNorm;
  table.layer_norm = LayerNorm;
  table.add = AddInPlace;
  table.silu_mul = SiluMul;
  table.gelu_mul = GeluMul;
  table.gelu = Gelu;
  table.rope = Rope;
  table.attention = Attention;
  table.store_kv = StoreKv;
  table.dot = Dot;
  table.sum_exp = SumExp;
}

}  // namespace
