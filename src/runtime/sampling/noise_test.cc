#include "runtime/sampling/noise.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "runtime/sampling/portable_math.h"
#include "runtime/sampling/sampler.h"

namespace hearth {
namespace {

// Pearson's chi-square of counts against equal expectation. With 255 degrees of freedom the mean is
// 255 and the standard deviation 22.6; the bounds in the tests below are 5 of them away.
double ChiSquare(const std::vector<int>& counts) {
  double total = 0;
  for (const int count : counts) total += count;
  const double expected = total / static_cast<double>(counts.size());
  double sum = 0;
  for (const int count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

// A change of these numbers changes every seeded text.
TEST(NoiseUniform, ValuesArePinned) {
  EXPECT_EQ(NoiseUniform(0, 0, 0, 0), 0x1.31502d5c46de8p-4);
  EXPECT_EQ(NoiseUniform(42, 1, 100, 31999), 0x1.aca9fa70dd1b9p-1);
  EXPECT_EQ(NoiseUniform(~uint64_t{0}, 7, 1u << 20, 151935), 0x1.df99ae1dd7958p-4);
}

TEST(NoiseUniform, ExtremeBitsStayInsideTheOpenInterval) {
  EXPECT_GT(NoiseStream::Uniform(0), 0.0);
  EXPECT_LT(NoiseStream::Uniform(~uint64_t{0}), 1.0);
  EXPECT_TRUE(std::isfinite(NoiseStream::Gumbel(0)));
  EXPECT_TRUE(std::isfinite(NoiseStream::Gumbel(~uint64_t{0})));
  EXPECT_LE(NoiseStream::Gumbel(~uint64_t{0}), NoiseStream::kMaxGumbel);
}

TEST(NoiseUniform, IsUniformOverTokensPositionsChoicesAndSeeds) {
  constexpr int kDraws = 1 << 16;
  std::vector<int> tokens(256), positions(256), choices(256), seeds(256);
  for (uint32_t i = 0; i < kDraws; ++i) {
    ++tokens[static_cast<size_t>(256 * NoiseUniform(1, 0, 5, i))];
    ++positions[static_cast<size_t>(256 * NoiseUniform(1, 0, i, 5))];
    ++choices[static_cast<size_t>(256 * NoiseUniform(1, i, 5, 5))];
    ++seeds[static_cast<size_t>(256 * NoiseUniform(i, 0, 5, 5))];
  }
  for (const auto& counts : {tokens, positions, choices, seeds}) {
    EXPECT_NEAR(ChiSquare(counts), 255, 5 * 22.6);
  }
}

// Neighbours along each axis fall into a 16 x 16 table; any dependence shows as uneven cells.
TEST(NoiseUniform, NeighboursAreIndependentAlongEveryAxis) {
  std::array<std::vector<int>, 5> tables;
  tables.fill(std::vector<int>(256));
  auto count = [](std::vector<int>& table, double a, double b) {
    ++table[static_cast<size_t>(16 * a) * 16 + static_cast<size_t>(16 * b)];
  };
  for (uint32_t token = 0; token < 256; ++token) {
    for (uint32_t position = 0; position < 256; ++position) {
      const double here = NoiseUniform(9, 1, position, token);
      count(tables[0], here, NoiseUniform(9, 1, position, token + 1));
      count(tables[1], here, NoiseUniform(9, 1, position + 1, token));
      count(tables[2], here, NoiseUniform(9, 2, position, token));
      count(tables[3], here, NoiseUniform(10, 1, position, token));
      count(tables[4], here, NoiseUniform(9, 1, token, position + 4096));
    }
  }
  for (const auto& table : tables) EXPECT_NEAR(ChiSquare(table), 255, 5 * 22.6);
}

TEST(NoiseUniform, NoTwoDrawsShareAStream) {
  std::set<uint64_t> first_bits;
  int draws = 0;
  for (uint64_t seed = 0; seed < 32; ++seed) {
    for (uint32_t choice = 0; choice < 32; ++choice) {
      for (uint64_t position = 0; position < 32; ++position, ++draws) {
        first_bits.insert(NoiseStream(seed, choice, position).Bits(0));
      }
    }
  }
  EXPECT_EQ(static_cast<int>(first_bits.size()), draws);
}

// The mean of the Gumbel distribution is Euler's constant, its variance pi^2 / 6.
TEST(Gumbel, HasTheMeanAndVarianceOfItsDistribution) {
  constexpr int kDraws = 200000;
  const NoiseStream noise(3, 0, 0);
  double sum = 0, squares = 0;
  for (uint32_t id = 0; id < kDraws; ++id) {
    const double g = NoiseStream::Gumbel(noise.Bits(id));
    sum += g;
    squares += g * g;
  }
  const double mean = sum / kDraws;
  EXPECT_NEAR(mean, 0.5772157, 0.015);
  EXPECT_NEAR(squares / kDraws - mean * mean, 1.6449341, 0.04);
}

TEST(Gumbel, NeverExceedsTheBoundForItsLeadingOnes) {
  const NoiseStream noise(4, 0, 0);
  for (int ones = 0; ones <= 64; ++ones) {
    const uint64_t prefix = ones == 0 ? 0 : ~uint64_t{0} << (64 - ones);
    for (uint32_t id = 0; id < 200; ++id) {
      // The largest value with exactly that many ones, and random ones.
      const uint64_t rest =
          ones >= 63 ? 0 : (id == 0 ? ~uint64_t{0} : noise.Bits(id)) >> (ones + 1);
      ASSERT_LE(NoiseStream::Gumbel(prefix | rest), NoiseStream::GumbelBound(ones)) << ones;
    }
  }
}

TEST(PortableLog, AgreesWithTheLibraryToTheLastPlaces) {
  const NoiseStream noise(5, 0, 0);
  for (uint32_t id = 0; id < 100000; ++id) {
    const double u = NoiseStream::Uniform(noise.Bits(id));
    ASSERT_NEAR(PortableLog(u) / std::log(u), 1.0, 1e-15) << u;
  }
  for (int exponent = -1000; exponent <= 1000; ++exponent) {
    const double x = std::ldexp(1.37, exponent);
    ASSERT_NEAR(PortableLog(x), std::log(x), 1e-15 * std::abs(std::log(x))) << x;
  }
  EXPECT_EQ(PortableLog(1.0), 0.0);
}

TEST(PortableExp, AgreesWithTheLibraryAndClampsOutside) {
  for (float x = 0; x > -80; x -= 0.00371f) {
    ASSERT_NEAR(PortableExp(x) / std::exp(static_cast<double>(x)), 1.0, 3e-7) << x;
  }
  EXPECT_EQ(PortableExp(0.0f), 1.0f);
  EXPECT_EQ(PortableExp(5.0f), 1.0f);
  EXPECT_EQ(PortableExp(-INFINITY), PortableExp(-80.0f));
  EXPECT_EQ(PortableExp(NAN), PortableExp(-80.0f));
}

}  // namespace
}  // namespace hearth
