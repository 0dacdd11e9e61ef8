#include "eval/statistics/statistics.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "base/check.h"

namespace hearth::eval {
namespace {

constexpr double kZ95 = 1.959963984540054;

// Differences of sums that are equal in exact arithmetic must count as equal.
constexpr double kTie = 1e-12;

// The standard's distributions differ between libraries; its generators do not.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  size_t Below(size_t bound) {
    return static_cast<size_t>(static_cast<double>(engine_() >> 11) * 0x1p-53 *
                               static_cast<double>(bound));
  }
  bool Coin() { return (engine_() >> 63) != 0; }

 private:
  std::mt19937_64 engine_;
};

double ResampledMean(std::span<const double> values, Random& random) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += values[random.Below(values.size())];
  return sum / static_cast<double>(values.size());
}

// Linear between the two nearest. Requires sorted values, at least one.
double Quantile(std::span<const double> sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Interval WilsonInterval(int64_t successes, int64_t trials) {
  if (trials <= 0) return {0, 1};
  const auto n = static_cast<double>(trials);
  const double p = static_cast<double>(successes) / n;
  const double z2 = kZ95 * kZ95;
  const double center = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ95 / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {std::max(0.0, center - half), std::min(1.0, center + half)};
}

double Mean(std::span<const double> values) {
  if (values.empty()) return 0;
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double StandardError(std::span<const double> values) {
  if (values.size() < 2) return 0;
  const double mean = Mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const auto n = static_cast<double>(values.size());
  return std::sqrt(squares / (n - 1) / n);
}

Interval BootstrapMean(std::span<const double> values, const ResampleOptions& options) {
  if (values.size() < 2) return {Mean(values), Mean(values)};
  Random random(options.seed);
  std::vector<double> means(static_cast<size_t>(options.num_resamples));
  for (double& mean : means) mean = ResampledMean(values, random);
  std::ranges::sort(means);
  return {Quantile(means, 0.025), Quantile(means, 0.975)};
}

double McNemarExact(int64_t only_first, int64_t only_second) {
  const int64_t num = only_first + only_second;
  const int64_t fewer = std::min(only_first, only_second);
  if (num == 0) return 1;
  // Twice the tail of a fair binomial.
  double tail = 0;
  const auto n = static_cast<double>(num);
  for (int64_t i = 0; i <= fewer; ++i) {
    const auto k = static_cast<double>(i);
    tail += std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) -
                     n * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

PairedDifference ComparePaired(std::span<const double> first, std::span<const double> second,
                               const ResampleOptions& options) {
  HEARTH_CHECK(first.size() == second.size());
  PairedDifference result;
  if (first.empty()) return result;
  std::vector<double> differences(first.size());
  for (size_t i = 0; i < first.size(); ++i) differences[i] = second[i] - first[i];
  result.difference = Mean(differences);
  result.interval = BootstrapMean(differences, options);
  // Under the null hypothesis the sign of each difference is a coin's.
  Random random(options.seed + 1);
  int64_t at_least = 0;
  const double observed = std::abs(result.difference) - kTie;
  for (int round = 0; round < options.num_resamples; ++round) {
    double sum = 0;
    for (const double difference : differences) sum += random.Coin() ? difference : -difference;
    if (std::abs(sum) / static_cast<double>(differences.size()) >= observed) ++at_least;
  }
  result.p_value = static_cast<double>(at_least + 1) / (options.num_resamples + 1.0);
  return result;
}

double ResamplingNoise(std::span<const double> values, const ResampleOptions& options) {
  if (values.size() < 2) return 0;
  Random random(options.seed + 2);
  std::vector<double> gaps(static_cast<size_t>(options.num_resamples));
  for (double& gap : gaps) {
    const double mean = ResampledMean(values, random);
    gap = std::abs(mean - ResampledMean(values, random));
  }
  std::ranges::sort(gaps);
  return Quantile(gaps, 0.95);
}

RepeatNoise NoiseOfRepeats(const std::vector<std::vector<double>>& runs) {
  HEARTH_CHECK(runs.size() >= 2 && !runs[0].empty());
  RepeatNoise noise;
  for (const std::vector<double>& run : runs) {
    HEARTH_CHECK(run.size() == runs[0].size());
    noise.means.push_back(Mean(run));
  }
  noise.standard_deviation =
      StandardError(noise.means) * std::sqrt(static_cast<double>(noise.means.size()));
  noise.floor = kZ95 * std::sqrt(2.0) * noise.standard_deviation;
  int64_t flipped = 0;
  for (size_t item = 0; item < runs[0].size(); ++item) {
    flipped += std::ranges::any_of(
        runs, [&](const std::vector<double>& run) { return run[item] != runs[0][item]; });
  }
  noise.flips = static_cast<double>(flipped) / static_cast<double>(runs[0].size());
  return noise;
}

}  // namespace hearth::eval
