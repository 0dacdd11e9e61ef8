#pragma once
// Sixteen floats as one AVX-512 register, for float_kernels_inl.h.

#include <immintrin.h>
#include <stdint.h>

namespace {

struct V {
  __m512 v;
};

inline V Load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void Store(float* p, V a) { _mm512_storeu_ps(p, a.v); }
inline V Set1(float x) { return {_mm512_set1_ps(x)}; }
inline V Add(V a, V b) { return {_mm512_add_ps(a.v, b.v)}; }
inline V Sub(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline V Mul(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline V Div(V a, V b) { return {_mm512_div_ps(a.v, b.v)}; }
inline V Max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }
inline V Min(V a, V b) { return {_mm512_min_ps(a.v, b.v)}; }
inline V Fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline V Round(V a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline V Abs(V a) { return {_mm512_abs_ps(a.v)}; }
// a * 2^n for integral n in [-126, 127]
inline V TimesPowerOfTwo(V a, V n) { return {_mm512_scalef_ps(a.v, n.v)}; }
// a < b ? x : y, lane by lane
inline V SelectLess(V a, V b, V x, V y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
inline V LoadHalf(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void StoreHalf(uint16_t* p, V a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline V LoadBfloat16(const uint16_t* p) {
  const __m512i wide =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline V LoadInt8(const int8_t* p) {
  return {_mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline __m512i LoadBytes(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
// The permutation looks at the low four bits of an index only.
inline V FloatOfNibble(__m512i nibbles) {
  return {_mm512_permutexvar_ps(
      nibbles, _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))};
}
// The low, or the high, halves of sixteen bytes.
inline V LoadLowNibbles(const uint8_t* p) { return FloatOfNibble(LoadBytes(p)); }
inline V LoadHighNibbles(const uint8_t* p) {
  return FloatOfNibble(_mm512_srli_epi32(LoadBytes(p), 4));
}
// Lane i is a's lane i ^ kDistance; kDistance is 1, 2, 4 or 8.
template <int kDistance>
inline V Swap(V a) {
  if constexpr (kDistance == 1) return {_mm512_permute_ps(a.v, 0xB1)};
  if constexpr (kDistance == 2) return {_mm512_permute_ps(a.v, 0x4E)};
  if constexpr (kDistance == 4) return {_mm512_shuffle_f32x4(a.v, a.v, 0xB1)};
  if constexpr (kDistance == 8) return {_mm512_shuffle_f32x4(a.v, a.v, 0x4E)};
}
// Lanes whose number has the bit kDistance (1, 2, 4 or 8) from b, the others from a.
template <int kDistance>
inline V Blend(V a, V b) {
  constexpr int kFromB[] = {0, 0xAAAA, 0xCCCC, 0, 0xF0F0, 0, 0, 0, 0xFF00};
  return {_mm512_mask_blend_ps(kFromB[kDistance], a.v, b.v)};
}
// Values are integral and within [-127, 127].
inline void StoreInt8(int8_t* p, V a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v)));
}

inline __m256 UpperHalf(__m512 v) { return _mm512_extractf32x8_ps(v, 1); }
inline float ReduceAdd(V a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), UpperHalf(a.v));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float ReduceMax(V a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), UpperHalf(a.v));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

struct Pairs {
  __m512i v;
};
struct Sums {
  __m512i v;
};

inline Pairs LoadPairs(const int8_t* p) {
  return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline __m512i WidenBytes(const uint8_t* p) {
  return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Pairs LoadLowPairs(const uint8_t* p) {
  return {_mm512_and_si512(WidenBytes(p), _mm512_set1_epi16(15))};
}
inline Pairs LoadHighPairs(const uint8_t* p) { return {_mm512_srli_epi16(WidenBytes(p), 4)}; }
inline Pairs BroadcastPair(const int16_t* p) {
  int32_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return {_mm512_set1_epi32(bits)};
}
inline Sums ZeroSums() { return {_mm512_setzero_si512()}; }
inline Sums AddProducts(Sums sums, Pairs a, Pairs b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sums.v) : "v"(a.v), "v"(b.v));
  return sums;
}
inline V ToFloat(Sums a) { return {_mm512_cvtepi32_ps(a.v)}; }
// Rounded to nearest, halves to even. Within [-32767, 32767].
inline void StoreInt16(int16_t* p, V a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a.v)));
}

}  // namespace
