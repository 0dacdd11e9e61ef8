// What the sampler draws is distributed as the softmax of the surviving logits: chi-square tests
// over many positions.

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "runtime/sampling/sampler.h"

namespace hearth {
namespace {

constexpr int kDraws = 40000;
const std::vector<float> kLogits = {1.0f, 0.5f, 2.0f, -1.0f, 0.0f, 1.5f, -0.5f, 0.25f};

struct Case {
  const char* name;
  float temperature;
  int top_k;
  float top_p;
  float min_p;
  std::vector<TokenId> survivors;  // worked out by hand
};

// Softmax of kLogits at temperature 1, most likely first: ids 2 (0.355), 5 (0.215), 0 (0.131), 1
// (0.079)...
std::vector<double> Expected(const Case& c) {
  std::vector<double> probabilities(kLogits.size(), 0.0);
  for (const TokenId id : c.survivors) {
    probabilities[static_cast<size_t>(id)] =
        std::exp(static_cast<double>(kLogits[static_cast<size_t>(id)] / c.temperature));
  }
  const double sum = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  for (double& p : probabilities) p /= sum;
  return probabilities;
}

// The 99.99th percentile of chi-square with `degrees` of freedom (Wilson and Hilferty 1931).
double ChiSquareLimit(double degrees) {
  const double a = 2.0 / (9.0 * degrees);
  return degrees * std::pow(1 - a + 3.719 * std::sqrt(a), 3);
}

class Distribution : public ::testing::TestWithParam<Case> {};

TEST_P(Distribution, MatchesTheSoftmaxOfTheSurvivors) {
  const Case& c = GetParam();
  SamplingOptions options;
  options.temperature = c.temperature;
  options.top_k = c.top_k;
  options.top_p = c.top_p;
  options.min_p = c.min_p;
  const std::vector<double> expected = Expected(c);
  // Over the positions of one answer, over the choices of one request, over the seeds of many.
  for (int axis = 0; axis < 3; ++axis) {
    std::vector<int> counts(kLogits.size(), 0);
    for (int draw = 0; draw < kDraws; ++draw) {
      options.seed = axis == 2 ? static_cast<uint64_t>(draw) : 21;
      options.choice = axis == 1 ? draw : 0;
      Sampler sampler(options, static_cast<int>(kLogits.size()), {});
      ++counts[static_cast<size_t>(sampler.Sample(kLogits, axis == 0 ? draw : 4).id)];
    }
    double chi_square = 0;
    for (size_t id = 0; id < counts.size(); ++id) {
      if (expected[id] == 0) {
        EXPECT_EQ(counts[id], 0) << "token " << id << " should have been cut";
        continue;
      }
      const double mean = expected[id] * kDraws;
      chi_square += (counts[id] - mean) * (counts[id] - mean) / mean;
    }
    EXPECT_LT(chi_square, ChiSquareLimit(static_cast<double>(c.survivors.size()) - 1)) << axis;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Options, Distribution,
    ::testing::Values(Case{"Plain", 1, 0, 1, 0, {0, 1, 2, 3, 4, 5, 6, 7}},
                      Case{"Cold", 0.5f, 0, 1, 0, {0, 1, 2, 3, 4, 5, 6, 7}},
                      Case{"Hot", 3, 0, 1, 0, {0, 1, 2, 3, 4, 5, 6, 7}},
                      Case{"TopK", 1, 3, 1, 0, {2, 5, 0}},
                      Case{"TopP", 1, 0, 0.75f, 0, {2, 5, 0, 1}},
                      Case{"MinP", 1, 0, 1, 0.3f, {2, 5, 0}},
                      // Of the three most likely, 0.506, 0.307, 0.186: the first two are 0.8 of it.
                      Case{"TopKThenTopP", 1, 3, 0.8f, 0, {2, 5}}),
    [](const auto& test) { return std::string(test.param.name); });

// Draws at neighbouring positions, choices and seeds form a table whose cells must be products of
// the marginals.
TEST(Distribution, NeighbouringDrawsAreIndependent) {
  const std::vector<float> flat(8, 0.0f);
  auto draw = [&](uint64_t seed, int choice, int64_t position) {
    SamplingOptions options;
    options.seed = seed;
    options.choice = choice;
    return static_cast<size_t>(Sampler(options, 8, {}).Sample(flat, position).id);
  };
  std::vector<std::vector<int>> tables(3, std::vector<int>(64, 0));
  for (int i = 0; i < kDraws; ++i) {
    const size_t here = draw(1, 0, i) * 8;
    ++tables[0][here + draw(1, 0, i + 1)];
    ++tables[1][here + draw(1, 1, i)];
    ++tables[2][here + draw(2, 0, i)];
  }
  const double mean = kDraws / 64.0;
  for (const auto& table : tables) {
    double chi_square = 0;
    for (const int count : table) chi_square += (count - mean) * (count - mean) / mean;
    EXPECT_LT(chi_square, ChiSquareLimit(63));
  }
}

}  // namespace
}  // namespace hearth
