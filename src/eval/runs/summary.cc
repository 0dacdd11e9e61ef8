#include "eval/runs/summary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace hearth::eval {
namespace {

Figure FigureOf(Measure measure, const std::vector<double>& scores) {
  Figure figure;
  figure.num_items = static_cast<int64_t>(scores.size());
  figure.value = Mean(scores);
  if (measure == Measure::kRate) {
    const auto num_right = std::ranges::count(scores, 1.0);
    figure.interval = WilsonInterval(num_right, figure.num_items);
  } else {
    figure.interval = BootstrapMean(scores);
  }
  if (measure == Measure::kPerplexity) {
    for (double* value : {&figure.value, &figure.interval.low, &figure.interval.high})
      *value = std::exp(*value);
  }
  return figure;
}

Json ToJson(const Figure& figure) {
  return {{"value", figure.value},
          {"low", figure.interval.low},
          {"high", figure.interval.high},
          {"items", figure.num_items}};
}

Json ToJson(const std::map<std::string, Figure>& figures) {
  Json json = Json::object();
  for (const auto& [name, figure] : figures) json[name] = ToJson(figure);
  return json;
}

}  // namespace

SuiteSummary Summarise(const SuiteInfo& info, const std::vector<ItemResult>& items) {
  SuiteSummary summary;
  summary.info = info;
  summary.num_items = static_cast<int64_t>(items.size());
  std::vector<double> scores;
  std::map<std::string, std::vector<double>> by_category, by_figure;
  for (const ItemResult& item : items) {
    ++summary.outcomes[item.outcome];
    summary.prompt_tokens += item.prompt_tokens;
    summary.completion_tokens += item.completion_tokens;
    for (const auto& [name, value] : item.figures) by_figure[name].push_back(value);
    if (!item.score) continue;
    scores.push_back(*item.score);
    if (!item.category.empty()) by_category[item.category].push_back(*item.score);
  }
  summary.num_judged = static_cast<int64_t>(scores.size());
  summary.score = FigureOf(info.measure, scores);
  summary.standard_error = StandardError(scores);
  summary.noise_floor = ResamplingNoise(scores);
  if (info.measure == Measure::kPerplexity) {
    // Carried through exp: both are small beside 1.
    summary.standard_error *= summary.score.value;
    summary.noise_floor *= summary.score.value;
  }
  for (const auto& [name, values] : by_category)
    summary.categories[name] = FigureOf(info.measure, values);
  for (const auto& [name, values] : by_figure)
    summary.figures[name] = FigureOf(Measure::kMean, values);
  return summary;
}

Json ToJson(const SuiteSummary& summary) {
  Json json = {{"suite", summary.info.name},
               {"title", summary.info.title},
               {"measure", MeasureName(summary.info.measure)},
               {"higher_is_better", summary.info.higher_is_better},
               {"fingerprint", summary.info.fingerprint},
               {"items", summary.num_items},
               {"judged", summary.num_judged},
               {"score", summary.score.value},
               {"low", summary.score.interval.low},
               {"high", summary.score.interval.high},
               {"standard_error", summary.standard_error},
               {"noise_floor", summary.noise_floor},
               {"outcomes", summary.outcomes}};
  if (!summary.categories.empty()) json["categories"] = ToJson(summary.categories);
  if (!summary.figures.empty()) json["figures"] = ToJson(summary.figures);
  json["prompt_tokens"] = summary.prompt_tokens;
  json["completion_tokens"] = summary.completion_tokens;
  return json;
}

std::string FormatScore(Measure measure, double value) {
  std::array<char, 64> text;
  if (measure == Measure::kRate) {
    std::snprintf(text.data(), text.size(), "%.1f%%", 100 * value);
  } else {
    std::snprintf(text.data(), text.size(), "%.4g", value);
  }
  return text.data();
}

std::string FormatFigure(Measure measure, const Figure& figure) {
  return FormatScore(measure, figure.value) + " (" + FormatScore(measure, figure.interval.low) +
         " to " + FormatScore(measure, figure.interval.high) + ")";
}

const char* MeasureName(Measure measure) {
  switch (measure) {
    case Measure::kRate:
      return "rate";
    case Measure::kMean:
      return "mean";
    case Measure::kPerplexity:
      break;
  }
  return "perplexity";
}

std::optional<Measure> MeasureNamed(std::string_view name) {
  for (const Measure measure : {Measure::kRate, Measure::kMean, Measure::kPerplexity})
    if (name == MeasureName(measure)) return measure;
  return std::nullopt;
}

}  // namespace hearth::eval
