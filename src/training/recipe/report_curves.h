#pragma once
// Figures by step (the JSON lines of training/trainer/jsonl_sink.h) as charts in SVG. Colours are
// CSS variables of the page, so that a chart is drawn for light and for dark.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth::forge {

struct CurvePoint {
  int64_t step = 0;
  double value = 0;
};

struct Curve {
  std::string name;  // "train/loss"
  std::vector<CurvePoint> points;
};

// The file may be damaged or come from anywhere: a line that is none is passed over, names and
// lines are bounded. Where a resumed run repeats steps, the later lines count. Long curves are
// thinned to the smallest and largest value of each piece. Errors: kNotFound, kIo.
Result<std::vector<Curve>> ReadCurves(const std::string& path);
// The same from text; pure.
std::vector<Curve> ParseCurves(std::string_view text);

// One chart for curves that end alike: train/loss and eval/loss. Their order is the names'.
struct Chart {
  std::string title;  // "loss"
  std::vector<Curve> curves;
};
std::vector<Chart> ChartsOf(const std::vector<Curve>& curves);

// <svg>...</svg>.
std::string DrawChart(const Chart& chart);

}  // namespace hearth::forge
