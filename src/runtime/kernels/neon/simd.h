#pragma once
// Sixteen floats as four NEON registers, for float_kernels_inl.h.

#include <arm_neon.h>
#include <stdint.h>

namespace {

struct V {
  float32x4_t v[4];
};

// Not vmaxq and vminq: those give a NaN where the other instruction sets give the second operand.
inline float32x4_t Max4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline float32x4_t Min4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }

inline V Load(const float* p) {
  return {{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}};
}
inline void Store(float* p, V a) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
}
inline V Set1(float x) {
  const float32x4_t v = vdupq_n_f32(x);
  return {{v, v, v, v}};
}

template <typename F>
inline V Quarters(F quarter) {
  return {{quarter(0), quarter(1), quarter(2), quarter(3)}};
}

inline V Add(V a, V b) {
  return Quarters([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
}
inline V Sub(V a, V b) {
  return Quarters([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
}
inline V Mul(V a, V b) {
  return Quarters([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
}
inline V Div(V a, V b) {
  return Quarters([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
}
inline V Max(V a, V b) {
  return Quarters([&](int i) { return Max4(a.v[i], b.v[i]); });
}
inline V Min(V a, V b) {
  return Quarters([&](int i) { return Min4(a.v[i], b.v[i]); });
}
inline V Fma(V a, V b, V c) {
  return Quarters([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
}
inline V Round(V a) {
  return Quarters([&](int i) { return vrndnq_f32(a.v[i]); });
}
inline V Abs(V a) {
  return Quarters([&](int i) { return vabsq_f32(a.v[i]); });
}
// a * 2^n for integral n in [-126, 127]
inline V TimesPowerOfTwo(V a, V n) {
  return Quarters([&](int i) {
    const int32x4_t exponent = vaddq_s32(vcvtq_s32_f32(n.v[i]), vdupq_n_s32(127));
    return vmulq_f32(a.v[i], vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
  });
}
// a < b ? x : y, lane by lane
inline V SelectLess(V a, V b, V x, V y) {
  return Quarters([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), x.v[i], y.v[i]); });
}
inline V LoadHalf(const uint16_t* p) {
  return Quarters([&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
inline void StoreHalf(uint16_t* p, V a) {
  for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i])));
}
inline V LoadBfloat16(const uint16_t* p) {
  return Quarters(
      [&](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
}
inline V LoadInt8(const int8_t* p) {
  const int8x16_t bytes = vld1q_s8(p);
  const int16x8_t lo = vmovl_s8(vget_low_s8(bytes)), hi = vmovl_s8(vget_high_s8(bytes));
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(lo))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(lo))),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(hi))),
           vcvtq_f32_s32(vmovl_s16(vget_high_s16(hi)))}};
}
inline V FloatsOfBytes(uint8x16_t bytes) {
  const uint16x8_t lo = vmovl_u8(vget_low_u8(bytes)), hi = vmovl_u8(vget_high_u8(bytes));
  return {{vcvtq_f32_u32(vmovl_u16(vget_low_u16(lo))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(lo))),
           vcvtq_f32_u32(vmovl_u16(vget_low_u16(hi))),
           vcvtq_f32_u32(vmovl_u16(vget_high_u16(hi)))}};
}
// The low, or the high, halves of sixteen bytes.
inline V LoadLowNibbles(const uint8_t* p) {
  return FloatsOfBytes(vandq_u8(vld1q_u8(p), vdupq_n_u8(15)));
}
inline V LoadHighNibbles(const uint8_t* p) { return FloatsOfBytes(vshrq_n_u8(vld1q_u8(p), 4)); }
// Lane i is a's lane i ^ kDistance; kDistance is 1, 2, 4 or 8.
template <int kDistance>
inline V Swap(V a) {
  if constexpr (kDistance == 1) return Quarters([&](int i) { return vrev64q_f32(a.v[i]); });
  if constexpr (kDistance == 2)
    return Quarters([&](int i) { return vextq_f32(a.v[i], a.v[i], 2); });
  if constexpr (kDistance == 4) return {{a.v[1], a.v[0], a.v[3], a.v[2]}};
  if constexpr (kDistance == 8) return {{a.v[2], a.v[3], a.v[0], a.v[1]}};
}
// Lanes whose number has the bit kDistance (1, 2, 4 or 8) from b, the others from a.
template <int kDistance>
inline V Blend(V a, V b) {
  if constexpr (kDistance == 1) {
    const uint32x4_t odd = {0, ~0u, 0, ~0u};
    return Quarters([&](int i) { return vbslq_f32(odd, b.v[i], a.v[i]); });
  }
  if constexpr (kDistance == 2) {
    return Quarters(
        [&](int i) { return vcombine_f32(vget_low_f32(a.v[i]), vget_high_f32(b.v[i])); });
  }
  if constexpr (kDistance == 4) return {{a.v[0], b.v[1], a.v[2], b.v[3]}};
  if constexpr (kDistance == 8) return {{a.v[0], a.v[1], b.v[2], b.v[3]}};
}
// Values are integral and within [-127, 127].
inline void StoreInt8(int8_t* p, V a) {
  const int16x8_t lo =
      vcombine_s16(vmovn_s32(vcvtq_s32_f32(a.v[0])), vmovn_s32(vcvtq_s32_f32(a.v[1])));
  const int16x8_t hi =
      vcombine_s16(vmovn_s32(vcvtq_s32_f32(a.v[2])), vmovn_s32(vcvtq_s32_f32(a.v[3])));
  vst1q_s8(p, vcombine_s8(vmovn_s16(lo), vmovn_s16(hi)));
}

inline float ReduceAdd(V a) {
  const float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline float ReduceMax(V a) {
  float v[4];
  vst1q_f32(v, Max4(Max4(a.v[0], a.v[2]), Max4(a.v[1], a.v[3])));
  const float even = v[0] > v[2] ? v[0] : v[2], odd = v[1] > v[3] ? v[1] : v[3];
  return even > odd ? even : odd;
}

// The first numbers of the pairs, and the second.
struct Pairs {
  int16x8_t first[2], second[2];
};
struct Sums {
  int32x4_t v[4];
};

inline Pairs WidenPairs(int8x16_t first, int8x16_t second) {
  return {{vmovl_s8(vget_low_s8(first)), vmovl_high_s8(first)},
          {vmovl_s8(vget_low_s8(second)), vmovl_high_s8(second)}};
}
inline Pairs LoadPairs(const int8_t* p) {
  const int8x16x2_t both = vld2q_s8(p);
  return WidenPairs(both.val[0], both.val[1]);
}
inline Pairs LoadLowPairs(const uint8_t* p) {
  const uint8x16x2_t both = vld2q_u8(p);
  return WidenPairs(vreinterpretq_s8_u8(vandq_u8(both.val[0], vdupq_n_u8(15))),
                    vreinterpretq_s8_u8(vandq_u8(both.val[1], vdupq_n_u8(15))));
}
inline Pairs LoadHighPairs(const uint8_t* p) {
  const uint8x16x2_t both = vld2q_u8(p);
  return WidenPairs(vreinterpretq_s8_u8(vshrq_n_u8(both.val[0], 4)),
                    vreinterpretq_s8_u8(vshrq_n_u8(both.val[1], 4)));
}
inline Pairs BroadcastPair(const int16_t* p) {
  const int16x8_t first = vdupq_n_s16(p[0]), second = vdupq_n_s16(p[1]);
  return {{first, first}, {second, second}};
}
inline Sums ZeroSums() {
  const int32x4_t zero = vdupq_n_s32(0);
  return {{zero, zero, zero, zero}};
}
inline Sums AddProducts(Sums sums, Pairs a, Pairs b) {
  for (int half = 0; half < 2; ++half) {
    int32x4_t &low = sums.v[2 * half], &high = sums.v[2 * half + 1];
    low = vmlal_s16(low, vget_low_s16(a.first[half]), vget_low_s16(b.first[half]));
    low = vmlal_s16(low, vget_low_s16(a.second[half]), vget_low_s16(b.second[half]));
    high = vmlal_high_s16(high, a.first[half], b.first[half]);
    high = vmlal_high_s16(high, a.second[half], b.second[half]);
  }
  return sums;
}
inline V ToFloat(Sums a) {
  return Quarters([&](int i) { return vcvtq_f32_s32(a.v[i]); });
}
// Rounded to nearest, halves to even. Within [-32767, 32767].
inline void StoreInt16(int16_t* p, V a) {
  for (int i = 0; i < 4; ++i) vst1_s16(p + 4 * i, vmovn_s32(vcvtnq_s32_f32(a.v[i])));
}

}  // namespace
