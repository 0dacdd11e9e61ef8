#pragma once
// What a score on a few hundred items is worth: intervals, paired tests between two runs, and the
// size of a difference that is nothing but noise. All intervals are at 95%. Resampling is seeded,
// so the same scores give the same figures on every machine. Threads: pure functions.

#include <cstdint>
#include <span>
#include <vector>

namespace hearth::eval {

struct Interval {
  double low = 0;
  double high = 0;
};

// Of a share of `trials`. Source: Wilson, J. Am. Stat. Assoc. 22 (1927); unlike the textbook's
// interval it stays within 0 and 1 and is honest near them. Nothing tried: 0 to 1.
Interval WilsonInterval(int64_t successes, int64_t trials);

struct ResampleOptions {
  int num_resamples = 10000;
  uint64_t seed = 1;
};

double Mean(std::span<const double> values);
// Of the mean; 0 below two values.
double StandardError(std::span<const double> values);

// Percentile bootstrap of the mean (Efron 1979). Fewer than two values: the mean itself.
Interval BootstrapMean(std::span<const double> values, const ResampleOptions& options = {});

// Two runs over the same items, each right or wrong: the exact two-sided test of whether the items
// that only one of them got right fall equally on both. Source: McNemar, Psychometrika 12 (1947).
double McNemarExact(int64_t only_first, int64_t only_second);

struct PairedDifference {
  double difference = 0;  // mean of second - first
  Interval interval;      // percentile bootstrap over pairs
  double p_value = 1;     // sign-flip permutation test, two-sided
};
// Requires spans of one length. Empty ones give no difference.
PairedDifference ComparePaired(std::span<const double> first, std::span<const double> second,
                               const ResampleOptions& options = {});

// How far apart the means of two sets of items drawn from this one lie: 95% of such pairs are
// closer. A difference between unpaired runs below it says nothing.
double ResamplingNoise(std::span<const double> values, const ResampleOptions& options = {});

// Several runs of one model over the same items (other seeds, a temperature), one row each.
struct RepeatNoise {
  std::vector<double> means;      // of each run
  double standard_deviation = 0;  // of the means
  double floor = 0;               // 1.96 * sqrt(2) * standard_deviation: two runs differ by less
  double flips = 0;               // share of items whose scores are not the same in all runs
};
// Requires at least two rows of one length, not empty.
RepeatNoise NoiseOfRepeats(const std::vector<std::vector<double>>& runs);

}  // namespace hearth::eval
