// The float kernels, written once over sixteen-lane vectors. Each ISA folder includes this after
// its own simd.h, so that it is compiled once per instruction set with that folder's flags; every
// instruction set runs the same operations on the same lanes in the same order. Everything is in an
// anonymous namespace: nothing of one instruction set can be linked for another. No include guard
// on purpose: not a header for anybody else. Needs: V and its operations.

#include <stddef.h>
#include <stdint.h>

#include "runtime/kernels/kernels.h"
#include "runtime/kernels/reduce_rows_inl.h"

namespace {

using hearth::ActBlock;

constexpr float kNegativeInfinity = -__builtin_inff();
// Below it 127 / maximum would overflow; what is that small quantises to zero.
constexpr float kSmallestMaximum = 1e-30f;

// e^x: x = n ln 2 + r, e^r by its Taylor polynomial of degree 7 (|r| <= 0.35: relative error below
// 2e-7). 0 below -87.
inline V Exp(V x) {
  // In this order Max and Min hand a NaN on.
  const V clamped = Min(Set1(88.0f), Max(Set1(-87.0f), x));
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
  return SelectLess(x, Set1(-87.0f), Set1(0.0f), TimesPowerOfTwo(p, n));
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
inline void FloatMatmulColumns(const float* panel, int num_inputs, const float* x, size_t x_stride,
                               float* out, size_t out_stride) {
  V acc[kColumns][4];
  for (int c = 0; c < kColumns; ++c) {
    for (int chain = 0; chain < 4; ++chain) acc[c][chain] = Set1(0.0f);
  }
  for (int k = 0; k < num_inputs; k += 4) {
    for (int chain = 0; chain < 4; ++chain) {
      const V w = Load(panel + static_cast<size_t>(k + chain) * 16);
      for (int c = 0; c < kColumns; ++c)
        acc[c][chain] = Fma(Set1(x[c * x_stride + k + chain]), w, acc[c][chain]);
    }
  }
  for (int c = 0; c < kColumns; ++c) {
    Store(out + c * out_stride, Add(Add(acc[c][0], acc[c][1]), Add(acc[c][2], acc[c][3])));
  }
}

void FloatMatmul(const float* panel, int num_inputs, const float* x, size_t x_stride,
                 int num_columns, float* out, size_t out_stride) noexcept {
  int c = 0;
  for (; c + 4 <= num_columns; c += 4) {
    FloatMatmulColumns<4>(panel, num_inputs, x + c * x_stride, x_stride, out + c * out_stride,
                          out_stride);
  }
  for (; c < num_columns; ++c) {
    FloatMatmulColumns<1>(panel, num_inputs, x + c * x_stride, x_stride, out + c * out_stride,
                          out_stride);
  }
}

// 32 floats as codes of one scale; sum0 and sum1: of the codes of each half.
inline void WriteActBlock(V q_lo, V q_hi, float scale, float sum0, float sum1, ActBlock& block) {
  StoreInt8(block.q, q_lo);
  StoreInt8(block.q + 16, q_hi);
  block.d = scale;
  block.s = scale * (sum0 + sum1);
  block.s0 = scale * sum0;
  block.s1 = scale * sum1;
  block.neg_sum0 = -static_cast<int32_t>(sum0);
  block.neg_sum1 = -static_cast<int32_t>(sum1);
  block.neg_sum = block.neg_sum0 + block.neg_sum1;
  block.unused = 0;
}

inline void QuantizeBlock(const float* x, ActBlock& block) {
  const V lo = Load(x), hi = Load(x + 16);
  const float amax = ReduceMax(Max(Abs(lo), Abs(hi)));
  const V inverse = Set1(amax > kSmallestMaximum ? 127.0f / amax : 0.0f), zero = Set1(0.0f);
  const V q_lo = Round(Mul(lo, inverse)), q_hi = Round(Mul(hi, inverse));
  const float sum0 = ReduceAdd(q_lo), sum1 = ReduceAdd(q_hi);  // integral and small: exact
  if (sum0 + sum1 <= 32 * 127.0f) {
    WriteActBlock(q_lo, q_hi, amax / 127.0f, sum0, sum1, block);
  } else {  // a NaN or an infinity among them, which no code can say
    WriteActBlock(zero, zero, __builtin_nanf(""), 0, 0, block);
  }
}

// kBlocks (8 or 4) blocks side by side. False, with nothing written, where one of them holds a NaN
// or an infinity.
template <int kBlocks>
inline bool QuantizeBlocks(const float* x, ActBlock* out, size_t stride) {
  V maxima[kBlocks], codes[2 * kBlocks], sums[2 * kBlocks];
#pragma GCC unroll 8
  for (int b = 0; b < kBlocks; ++b)
    maxima[b] = Max(Abs(Load(x + b * 32)), Abs(Load(x + b * 32 + 16)));
  const V amax = MaxRows(maxima);
  alignas(64) float inverse[16], scale[16], sum[16];
  Store(inverse, SelectLess(Set1(kSmallestMaximum), amax, Div(Set1(127.0f), amax), Set1(0.0f)));
  Store(scale, Div(amax, Set1(127.0f)));
#pragma GCC unroll 8
  for (int b = 0; b < kBlocks; ++b) {
    const V factor = Set1(inverse[kLaneOfRow[b]]);
    codes[b] = sums[b] = Round(Mul(Load(x + b * 32), factor));
    codes[b + kBlocks] = sums[b + kBlocks] = Round(Mul(Load(x + b * 32 + 16), factor));
  }
  const V of_halves = SumRows(sums);
  // The lanes of a block's halves differ in one bit of their number.
  const V of_blocks = Add(of_halves, Swap<8 / kBlocks>(of_halves));
  if (ReduceMax(SelectLess(of_blocks, Set1(32 * 127.0f + 1), Set1(0.0f), Set1(1.0f))) > 0)
    return false;
  Store(sum, of_halves);
#pragma GCC unroll 8
  for (int b = 0; b < kBlocks; ++b) {
    WriteActBlock(codes[b], codes[b + kBlocks], scale[kLaneOfRow[b]], sum[kLaneOfRow[b]],
                  sum[kLaneOfRow[b + kBlocks]], out[b * stride]);
  }
  return true;
}

void Quantize(const float* x, int num_blocks, ActBlock* out, size_t stride) noexcept {
  for (int b = 0, step = 0; b < num_blocks; b += step) {
    const float* from = x + b * 32;
    ActBlock* to = out + b * stride;
    step = num_blocks - b >= 8 ? 8 : num_blocks - b >= 4 ? 4 : 1;
    if (step == 8 && QuantizeBlocks<8>(from, to, stride)) continue;
    if (step == 4 && QuantizeBlocks<4>(from, to, stride)) continue;
    for (int i = 0; i < step; ++i) QuantizeBlock(from + i * 32, to[i * stride]);
  }
}

void RmsNorm(const float* x, const float* weight, float eps, int n, float* out) noexcept {
  V sum = Set1(0.0f);
  for (int i = 0; i < n; i += 16) {
    const V v = Load(x + i);
    sum = Fma(v, v, sum);
  }
  const float scale = 1.0f / __builtin_sqrtf(ReduceAdd(sum) / static_cast<float>(n) + eps);
  for (int i = 0; i < n; i += 16)
    Store(out + i, Mul(Mul(Load(x + i), Set1(scale)), Load(weight + i)));
}

void LayerNorm(const float* x, const float* weight, const float* bias, float eps, int n,
               float* out) noexcept {
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

void Scale(float* x, float factor, int n) noexcept {
  for (int i = 0; i < n; i += 16) Store(x + i, Mul(Load(x + i), Set1(factor)));
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
  const float *cosine = cos_sin, *sine = cos_sin + rope_dim;
  const int half = rope_dim / 2;
  int i = 0;
  if (interleaved) {
    for (; i + 16 <= rope_dim; i += 16) {
      const V x = Load(head + i);
      Store(head + i, Fma(x, Load(cosine + i), Mul(Swap<1>(x), Load(sine + i))));
    }
  } else {
    for (; i + 16 <= half; i += 16) {
      const V a = Load(head + i), b = Load(head + half + i);
      Store(head + i, Fma(a, Load(cosine + i), Mul(b, Load(sine + i))));
      Store(head + half + i, Fma(b, Load(cosine + half + i), Mul(a, Load(sine + half + i))));
    }
  }
  const int step = interleaved ? 1 : half;
  for (; i < (interleaved ? rope_dim : half); i += interleaved ? 2 : 1) {
    const float a = head[i], b = head[i + step];
    head[i] = __builtin_fmaf(a, cosine[i], b * sine[i]);
    head[i + step] = __builtin_fmaf(b, cosine[i + step], a * sine[i + step]);
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
      for (int lane = 0; lane < 16; ++lane)
        lanes[lane] = j + lane < n ? x[j + lane] : kNegativeInfinity;
      sum = Add(sum, Exp(Sub(Load(lanes), Set1(maximum))));
    }
    total += ReduceAdd(sum);
  }
  return total;
}

}  // namespace

#include "runtime/kernels/attention_kernels_inl.h"

namespace {

// The float half of a table.
constexpr void FillFloatKernels(hearth::KernelTable& table) {
  table.tile_columns = hearth::kTileColumns;
  table.tile_group_bytes = size_t{1} << 20;          // of the L2 cache
  table.most_few_columns = 2 * hearth::kFewColumns;  // measured with AVX2
  table.unpack_f16 = UnpackF16;
  table.unpack_bf16 = UnpackBf16;
  table.float_matmul = FloatMatmul;
  table.quantize = Quantize;
  table.rms_norm = RmsNorm;
  table.layer_norm = LayerNorm;
  table.add = AddInPlace;
  table.scale = Scale;
  table.silu_mul = SiluMul;
  table.gelu_mul = GeluMul;
  table.gelu = Gelu;
  table.rope = Rope;
  table.attention = Attention;
  table.attention_fold = AttentionFold;
  table.attention_finish = AttentionFinish;
  table.store_kv = StoreKv;
  table.close_keys = CloseKeys;
  table.dot = Dot;
  table.sum_exp = SumExp;
}

}  // namespace
