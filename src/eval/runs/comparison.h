#pragma once
// Two runs over the same items: how much better is the second, and is it more than chance? And
// several runs of one model: how much do they differ by themselves? Threads: pure functions.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/runs/run_folder.h"
#include "eval/statistics/statistics.h"

namespace hearth::eval {

struct SuiteComparison {
  std::string suite;
  Measure measure = Measure::kRate;
  bool higher_is_better = true;
  int64_t num_pairs = 0;         // items that both have judged
  int64_t num_unpaired = 0;      // that only one of them has; they do not count
  double first = 0, second = 0;  // scores over the pairs
  // second - first: of rates and means themselves, of perplexities the mean of log-probabilities
  PairedDifference difference;
  // rates only
  int64_t both = 0, only_first = 0, only_second = 0, neither = 0;
  std::optional<double> mcnemar_p;

  double p_value() const { return mcnemar_p.value_or(difference.p_value); }
};

// One for each suite that both have. Errors: kInvalidArgument when they share none, or when a suite
// was run with other data or prompts (names it).
Result<std::vector<SuiteComparison>> CompareRuns(const StoredRun& first, const StoredRun& second);
Json ToJson(const SuiteComparison& comparison);
// Some lines of plain text; ends with a sentence on what the test says.
std::string Describe(const SuiteComparison& comparison);

struct SuiteNoise {
  std::string suite;
  Measure measure = Measure::kRate;
  int64_t num_items = 0;  // that all runs have judged
  RepeatNoise noise;
};
// Of runs that differ in seed, temperature or nothing at all. Errors: kInvalidArgument for fewer
// than two, for runs of different models, or without a suite in common.
Result<std::vector<SuiteNoise>> MeasureNoise(const std::vector<StoredRun>& runs);
Json ToJson(const SuiteNoise& noise);
std::string Describe(const SuiteNoise& noise);

}  // namespace hearth::eval
