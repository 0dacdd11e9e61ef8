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
// 2^n for integral n in [-126, 127]
inline V PowerOfTwo(V n) {
  return Lanes([&](int i) { return ldexpf(1.0f, static_cast<int>(n.v[i])); });
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

}  // namespace
