#pragma once
// Sixteen floats as two AVX2 registers, for float_kernels_inl.h.

#include <immintrin.h>
#include <stdint.h>

namespace {

struct V {
  __m256 lo, hi;
};

inline V Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void Store(float* p, V a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline V Set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline V Add(V a, V b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline V Sub(V a, V b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline V Mul(V a, V b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline V Div(V a, V b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline V Max(V a, V b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline V Min(V a, V b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline V Fma(V a, V b, V c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline V Round(V a) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.lo, kMode), _mm256_round_ps(a.hi, kMode)};
}
inline V Abs(V a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
inline __m256 PowerOfTwo8(__m256 n) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
// a * 2^n for integral n in [-126, 127]
inline V TimesPowerOfTwo(V a, V n) {
  return {_mm256_mul_ps(a.lo, PowerOfTwo8(n.lo)), _mm256_mul_ps(a.hi, PowerOfTwo8(n.hi))};
}
// a < b ? x : y, lane by lane
inline V SelectLess(V a, V b, V x, V y) {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
inline V LoadHalf(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline void StoreHalf(uint16_t* p, V a) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.lo, kMode));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.hi, kMode));
}
inline __m256 LoadBfloat16x8(const uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
inline V LoadBfloat16(const uint16_t* p) { return {LoadBfloat16x8(p), LoadBfloat16x8(p + 8)}; }
inline __m256 LoadInt8x8(const int8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline V LoadInt8(const int8_t* p) { return {LoadInt8x8(p), LoadInt8x8(p + 8)}; }
inline __m256i LoadBytes8(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
inline __m256 LowNibbles8(const uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_and_si256(LoadBytes8(p), _mm256_set1_epi32(15)));
}
inline __m256 HighNibbles8(const uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_srli_epi32(LoadBytes8(p), 4));
}
// The low, or the high, halves of sixteen bytes.
inline V LoadLowNibbles(const uint8_t* p) { return {LowNibbles8(p), LowNibbles8(p + 8)}; }
inline V LoadHighNibbles(const uint8_t* p) { return {HighNibbles8(p), HighNibbles8(p + 8)}; }
// Lane i is a's lane i ^ kDistance; kDistance is 1, 2, 4 or 8.
template <int kDistance>
inline V Swap(V a) {
  if constexpr (kDistance == 1)
    return {_mm256_permute_ps(a.lo, 0xB1), _mm256_permute_ps(a.hi, 0xB1)};
  if constexpr (kDistance == 2)
    return {_mm256_permute_ps(a.lo, 0x4E), _mm256_permute_ps(a.hi, 0x4E)};
  if constexpr (kDistance == 4)
    return {_mm256_permute2f128_ps(a.lo, a.lo, 1), _mm256_permute2f128_ps(a.hi, a.hi, 1)};
  if constexpr (kDistance == 8) return {a.hi, a.lo};
}
// Lanes whose number has the bit kDistance (1, 2, 4 or 8) from b, the others from a.
template <int kDistance>
inline V Blend(V a, V b) {
  if constexpr (kDistance == 8) return {a.lo, b.hi};
  constexpr int kFromB = kDistance == 1 ? 0xAA : kDistance == 2 ? 0xCC : 0xF0;
  return {_mm256_blend_ps(a.lo, b.lo, kFromB), _mm256_blend_ps(a.hi, b.hi, kFromB)};
}
// Values are integral and within [-127, 127].
inline void StoreInt8(int8_t* p, V a) {
  const __m256i pairs = _mm256_packs_epi32(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi));
  const __m256i ordered = _mm256_permute4x64_epi64(pairs, 0xD8);
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(p),
      _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
}

inline float ReduceAdd(V a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float ReduceMax(V a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

struct Pairs {
  __m256i lo, hi;
};
struct Sums {
  __m256i lo, hi;
};

inline __m256i WidenInt8(const void* p) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
inline __m256i WidenBytes(const void* p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
inline Pairs LoadPairs(const int8_t* p) { return {WidenInt8(p), WidenInt8(p + 16)}; }
inline Pairs LoadLowPairs(const uint8_t* p) {
  const __m256i mask = _mm256_set1_epi16(15);
  return {_mm256_and_si256(WidenBytes(p), mask), _mm256_and_si256(WidenBytes(p + 16), mask)};
}
inline Pairs LoadHighPairs(const uint8_t* p) {
  return {_mm256_srli_epi16(WidenBytes(p), 4), _mm256_srli_epi16(WidenBytes(p + 16), 4)};
}
inline Pairs BroadcastPair(const int16_t* p) {
  int32_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  const __m256i v = _mm256_set1_epi32(bits);
  return {v, v};
}
inline Sums ZeroSums() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline __m256i AddProducts8(__m256i sums, __m256i a, __m256i b) {
  // sums + products. Spelt out because GCC 12 would make the products of all sums of a loop first
  // and add them afterwards, for which the sums have to leave their registers.
  const __m256i products = _mm256_madd_epi16(a, b);
  asm("vpaddd %1, %0, %0" : "+x"(sums) : "x"(products));
  return sums;
}
inline Sums AddProducts(Sums sums, Pairs a, Pairs b) {
  return {AddProducts8(sums.lo, a.lo, b.lo), AddProducts8(sums.hi, a.hi, b.hi)};
}
inline V ToFloat(Sums a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
// Rounded to nearest, halves to even. Within [-32767, 32767].
inline void StoreInt16(int16_t* p, V a) {
  const __m256i pairs = _mm256_packs_epi32(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(pairs, 0xD8));
}

}  // namespace
