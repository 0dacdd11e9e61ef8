#pragma once
// Gumbel noise for sampling, a pure function of (seed, choice, position, token id): adding it to
// the logits and taking the maximum draws exactly from their softmax (Gumbel-max trick; Maddison et
// al. 2014, section 2). The generator: SplitMix64 (Steele, Lea, Flood 2014) over token ids, started
// at a key mixed from the other three numbers.

#include <bit>
#include <cstdint>

namespace hearth {

// The noise of one draw, for every token of the vocabulary.
class NoiseStream {
 public:
  NoiseStream(uint64_t seed, uint32_t choice, uint64_t position);

  // 64 random bits; the upper 52 decide the noise. A larger value is a larger noise.
  uint64_t Bits(uint32_t token_id) const {
    return Mix(key_ + (uint64_t{token_id} + 1) * 0x9e3779b97f4a7c15u);
  }

  // In (0, 1), never 0 or 1: the midpoint of one of 2^52 cells.
  static double Uniform(uint64_t bits) { return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52; }
  // -log(-log(u)): between -3.61 and 36.74.
  static double Gumbel(uint64_t bits);

  // No noise whose bits begin with `leading_ones` ones and a zero is larger than this: g <= -log(1
  // - u), and 1 - u is then at least 2^-(leading_ones + 1). The small addition covers the rounding
  // of Gumbel().
  static double GumbelBound(int leading_ones) {
    return ((leading_ones < 52 ? leading_ones : 52) + 1) * 0.69314718055994531 + 1e-9;
  }
  static constexpr double kMaxGumbel = 53 * 0.69314718055994531 + 1e-9;

 private:
  static uint64_t Mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  uint64_t key_;
};

}  // namespace hearth
