#pragma once
// The figures of a suite's items, with what they are worth.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "eval/statistics/statistics.h"
#include "eval/suites/suite.h"

namespace hearth::eval {

struct Figure {
  double value = 0;
  Interval interval;  // 95%
  int64_t num_items = 0;
};

struct SuiteSummary {
  SuiteInfo info;
  int64_t num_items = 0;
  int64_t num_judged = 0;  // those with a score
  Figure score;            // in the suite's own measure; the interval is Wilson's for rates, else
                           // the bootstrap's over items
  double standard_error = 0;
  // Two runs over other items of the kind would differ by up to this much (95%) with no reason.
  double noise_floor = 0;
  std::map<std::string, int64_t> outcomes;
  std::map<std::string, Figure> categories;  // empty: the suite has none
  std::map<std::string, Figure> figures;     // means of what else was measured
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
};

SuiteSummary Summarise(const SuiteInfo& info, const std::vector<ItemResult>& items);

Json ToJson(const SuiteSummary& summary);

// "70.7%" for rates, four digits otherwise.
std::string FormatScore(Measure measure, double value);
// "70.7% (63.4% to 77.1%)"
std::string FormatFigure(Measure measure, const Figure& figure);
const char* MeasureName(Measure measure);
std::optional<Measure> MeasureNamed(std::string_view name);

}  // namespace hearth::eval
