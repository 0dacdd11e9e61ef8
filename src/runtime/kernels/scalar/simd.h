#pragma once
// Sixteen floats as an array: the meaning of every vector operation of float_kernels_inl.h, written
// to be read.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "runtime/quant/quant.h"

namespace {

struct V {
  float v[16];
};

template <typename F>
inline V Lanes(F lane) {
  V r;
  for (int i = 0; i < 16; ++i) r.v[i] = lane(i);
  return r;
}

inline V Load(const float* p) {
  return Lanes([&](int i) { return p[i]; });
}
inline void Store(float* p, V a) { memcpy(p, a.v, sizeof a.v); }
inline V Set1(float x) {
  return Lanes([&](int) { return x; });
}
inline V Add(V a, V b) {
  return Lanes([&](int i) { return a.v[i] + b.v[i]; });
}
inline V Sub(V a, V b) {
  return Lanes([&](int i) { return a.v[i] - b.v[i]; });
}
inline V Mul(V a, V b) {
  return Lanes([&](int i) { return a.v[i] * b.v[i]; });
}
inline V Div(V a, V b) {
  return Lanes([&](int i) { return a.v[i] / b.v[i]; });
}
inline V Max(V a, V b) {
  return Lanes([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline V Min(V a, V b) {
  return Lanes([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline V Fma(V a, V b, V c) {
  return Lanes([&](int i) { return fmaf(a.v[i], b.v[i], c.v[i]); });
}
inline V Round(V a) {
  return Lanes([&](int i) { return rintf(a.v[i]); });
}
inline V Abs(V a) {
  return Lanes([&](int i) { return fabsf(a.v[i]); });
}
// a * 2^n for integral n in [-126, 127]
inline V TimesPowerOfTwo(V a, V n) {
  return Lanes([&](int i) { return a.v[i] * ldexpf(1.0f, static_cast<int>(n.v[i])); });
}
// a < b ? x : y, lane by lane
inline V SelectLess(V a, V b, V x, V y) {
  return Lanes([&](int i) { return a.v[i] < b.v[i] ? x.v[i] : y.v[i]; });
}
inline V LoadHalf(const uint16_t* p) {
  return Lanes([&](int i) { return hearth::HalfToFloat(p[i]); });
}
inline void StoreHalf(uint16_t* p, V a) {
  for (int i = 0; i < 16; ++i) p[i] = hearth::FloatToHalf(a.v[i]);
}
inline V LoadBfloat16(const uint16_t* p) {
  return Lanes([&](int i) { return hearth::Bfloat16ToFloat(p[i]); });
}
inline V LoadInt8(const int8_t* p) {
  return Lanes([&](int i) { return static_cast<float>(p[i]); });
}
// The low, or the high, halves of sixteen bytes.
inline V LoadLowNibbles(const uint8_t* p) {
  return Lanes([&](int i) { return static_cast<float>(p[i] & 15); });
}
inline V LoadHighNibbles(const uint8_t* p) {
  return Lanes([&](int i) { return static_cast<float>(p[i] >> 4); });
}
// Lane i is a's lane i ^ kDistance; kDistance is 1, 2, 4 or 8.
template <int kDistance>
inline V Swap(V a) {
  return Lanes([&](int i) { return a.v[i ^ kDistance]; });
}
// Lanes whose number has the bit kDistance (1, 2, 4 or 8) from b, the others from a.
template <int kDistance>
inline V Blend(V a, V b) {
  return Lanes([&](int i) { return (i & kDistance) != 0 ? b.v[i] : a.v[i]; });
}
// Values are integral and within [-127, 127].
inline void StoreInt8(int8_t* p, V a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(a.v[i]);
}

// Lanes are added in a tree: halves, quarters, eighths, pairs.
inline float ReduceAdd(V a) {
  for (int width = 8; width >= 1; width /= 2) {
    for (int i = 0; i < width; ++i) a.v[i] += a.v[i + width];
  }
  return a.v[0];
}
inline float ReduceMax(V a) {
  for (int width = 8; width >= 1; width /= 2) {
    for (int i = 0; i < width; ++i) a.v[i] = a.v[i] > a.v[i + width] ? a.v[i] : a.v[i + width];
  }
  return a.v[0];
}

// Sixteen pairs of 16-bit numbers, and a 32-bit sum for each pair's products.
struct Pairs {
  int16_t v[32];
};
struct Sums {
  int32_t v[16];
};

template <typename F>
inline Pairs EachOfPairs(F number) {
  Pairs r;
  for (int i = 0; i < 32; ++i) r.v[i] = static_cast<int16_t>(number(i));
  return r;
}

inline Pairs LoadPairs(const int8_t* p) {
  return EachOfPairs([&](int i) { return p[i]; });
}
// The low, or the high, halves of 32 bytes.
inline Pairs LoadLowPairs(const uint8_t* p) {
  return EachOfPairs([&](int i) { return p[i] & 15; });
}
inline Pairs LoadHighPairs(const uint8_t* p) {
  return EachOfPairs([&](int i) { return p[i] >> 4; });
}
// One pair sixteen times.
inline Pairs BroadcastPair(const int16_t* p) {
  return EachOfPairs([&](int i) { return p[i % 2]; });
}
inline Sums ZeroSums() { return {}; }
// Both products of each pair added to its sum.
inline Sums AddProducts(Sums sums, Pairs a, Pairs b) {
  for (int i = 0; i < 32; ++i) sums.v[i / 2] += int32_t{a.v[i]} * b.v[i];
  return sums;
}
inline V ToFloat(Sums a) {
  return Lanes([&](int i) { return static_cast<float>(a.v[i]); });
}
// Rounded to nearest, halves to even. Within [-32767, 32767].
inline void StoreInt16(int16_t* p, V a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int16_t>(rintf(a.v[i]));
}

}  // namespace
