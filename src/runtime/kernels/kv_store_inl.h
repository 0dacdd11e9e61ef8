// How K and V of a token are put into the blocks of the cache (the layouts are described in
// kernels.h), over the vector V of an ISA's simd.h. Included by attention_kernels_inl.h.

#include <stddef.h>
#include <stdint.h>

#include "runtime/kernels/kernels.h"

namespace {

using hearth::kKvBlockTokens;
using hearth::kMaxHeadDim;
using hearth::KvStorage;

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

// 32 channels of one token as int8 with one scale. What is not finite gets an infinite scale and
// codes of 0, from which products make NaN.
inline float QuantizeGroup(const float* x, int8_t* q) {
  const V lo = Load(x), hi = Load(x + 16);
  const float amax = ReduceMax(Max(Abs(lo), Abs(hi)));
  const V inverse = Set1(amax > kSmallestMaximum ? 127.0f / amax : 0.0f);
  V q_lo = Round(Mul(lo, inverse)), q_hi = Round(Mul(hi, inverse));
  const bool finite = ReduceAdd(Add(q_lo, q_hi)) <= 32 * 127.0f;
  if (!finite) q_lo = q_hi = Set1(0.0f);
  StoreInt8(q, q_lo);
  StoreInt8(q + 16, q_hi);
  return finite ? amax / 127.0f : __builtin_inff();
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
// for a half, gets an infinite scale and a minimum that is NaN.
inline void QuantizeGroup4(V lo, V hi, int8_t* q, uint16_t* scale_half, uint16_t* minimum_half) {
  constexpr uint16_t kHalfInfinity = 0x7c00, kHalfNan = 0x7e00;
  constexpr float kLargestHalf = 65504.0f;
  const float maximum = ReduceMax(Max(lo, hi));
  const float minimum = -ReduceMax(Max(Sub(Set1(0.0f), lo), Sub(Set1(0.0f), hi)));
  const float sum = ReduceAdd(Add(lo, hi));
  if (!(sum - sum == 0) || maximum > kLargestHalf || minimum < -kLargestHalf) {
    *scale_half = kHalfInfinity;
    *minimum_half = kHalfNan;
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
    int8_t* to = keys + group * 32 * kKvBlockTokens + 2 * slot;
    for (int i = 0; i < 32; i += 2) __builtin_memcpy(to + i * kKvBlockTokens, q + i, 2);
  }
}

inline void StoreValueInt8(const float* v, int head_dim, int slot, std::byte* v_block) {
  int8_t* values = reinterpret_cast<int8_t*>(v_block) + slot / 2 * 2 * head_dim + slot % 2;
  auto* scales = reinterpret_cast<float*>(v_block + static_cast<size_t>(head_dim) * kKvBlockTokens);
  for (int group = 0; group < head_dim / 32; ++group) {
    int8_t q[32];
    scales[group * kKvBlockTokens + slot] = QuantizeGroup(v + group * 32, q);
    for (int i = 0; i < 32; ++i) values[2 * (group * 32 + i)] = q[i];
  }
}

inline void StoreValueInt4(const float* v, int head_dim, int slot, std::byte* v_block) {
  alignas(64) float turned[kMaxHeadDim];
  for (int d = 0; d < head_dim; d += 16) Store(turned + d, Load(v + d));
  Turn(turned, head_dim);
  const int groups = head_dim / 32;
  uint8_t* codes = reinterpret_cast<uint8_t*>(v_block) + slot / 2 * head_dim + slot % 2;
  auto* scales =
      reinterpret_cast<uint16_t*>(v_block + static_cast<size_t>(head_dim) * (kKvBlockTokens / 2)) +
      slot;
  uint16_t* minima = scales + kKvBlockTokens * groups;
  for (int group = 0; group < groups; ++group) {
    int8_t q[32];
    QuantizeGroup4(Load(turned + group * 32), Load(turned + group * 32 + 16), q,
                   scales + group * kKvBlockTokens, minima + group * kKvBlockTokens);
    for (int i = 0; i < 16; ++i)
      codes[group * 32 + 2 * i] = static_cast<uint8_t>(q[i] | q[16 + i] << 4);
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
    uint8_t* to = codes + d / 2 * kKvBlockTokens + d % 2;
    for (int i = 0; i < 32; ++i) to[2 * i] = static_cast<uint8_t>(q[0][i] | q[1][i] << 4);
  }
}

}  // namespace
