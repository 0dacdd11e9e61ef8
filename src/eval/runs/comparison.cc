#include "eval/runs/comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "eval/runs/summary.h"

namespace hearth::eval {
namespace {

constexpr double kSignificant = 0.05;

// What run.json says of a suite: "suite.NAME": {fingerprint, measure, ...}.
const Json* SuiteSetting(const StoredRun& run, const std::string& suite) {
  const auto found = run.settings.find("suite." + suite);
  return found == run.settings.end() || !found->is_object() ? nullptr : &*found;
}

std::vector<std::string> SuitesOf(const StoredRun& run) {
  std::vector<std::string> suites;
  for (const auto& [key, value] : run.settings.items())
    if (key.starts_with("suite.")) suites.push_back(key.substr(6));
  return suites;
}

std::map<std::string, double> ScoresOf(const StoredRun& run, const std::string& suite) {
  std::map<std::string, double> scores;
  for (const ItemResult& item : run.items)
    if (item.suite == suite && item.score) scores[item.id] = *item.score;
  return scores;
}

std::string Text(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Measure MeasureOf(const Json& setting) {
  return MeasureNamed(Text(setting, "measure")).value_or(Measure::kRate);
}

[[gnu::format(printf, 1, 2)]] std::string Printed(const char* format, ...) {
  std::array<char, 256> text;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text.data(), text.size(), format, arguments);
  va_end(arguments);
  return text.data();
}

std::string FormatP(double p) { return p < 0.0001 ? "p < 0.0001" : Printed("p = %.4f", p); }

Json Finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

// Differences of rates are in points.
std::string FormatDifference(Measure measure, double value) {
  return measure == Measure::kRate ? Printed("%+.1f points", 100 * value) : Printed("%+.4g", value);
}

}  // namespace

Result<std::vector<SuiteComparison>> CompareRuns(const StoredRun& first, const StoredRun& second) {
  std::vector<SuiteComparison> comparisons;
  for (const std::string& suite : SuitesOf(first)) {
    const Json *setting_a = SuiteSetting(first, suite), *setting_b = SuiteSetting(second, suite);
    if (setting_b == nullptr) continue;
    if (Text(*setting_a, "fingerprint") != Text(*setting_b, "fingerprint")) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "the runs had other data, prompts or rules for " + suite +
                           ": their items do not compare");
    }
    SuiteComparison comparison;
    comparison.suite = suite;
    comparison.measure = MeasureOf(*setting_a);
    const auto higher = setting_a->find("higher_is_better");
    comparison.higher_is_better = higher == setting_a->end() || *higher != Json(false);
    const auto scores_a = ScoresOf(first, suite), scores_b = ScoresOf(second, suite);
    std::vector<double> a, b;
    for (const auto& [id, score] : scores_a) {
      const auto other = scores_b.find(id);
      if (other == scores_b.end()) continue;
      a.push_back(score);
      b.push_back(other->second);
    }
    comparison.num_pairs = static_cast<int64_t>(a.size());
    comparison.num_unpaired =
        static_cast<int64_t>(scores_a.size() + scores_b.size()) - 2 * comparison.num_pairs;
    comparison.difference = ComparePaired(a, b);
    comparison.first = Mean(a);
    comparison.second = Mean(b);
    if (comparison.measure == Measure::kPerplexity) {
      comparison.first = std::exp(comparison.first);
      comparison.second = std::exp(comparison.second);
    }
    if (comparison.measure == Measure::kRate) {
      for (size_t i = 0; i < a.size(); ++i) {
        const bool right_a = a[i] == 1, right_b = b[i] == 1;
        ++(right_a ? (right_b ? comparison.both : comparison.only_first)
                   : (right_b ? comparison.only_second : comparison.neither));
      }
      comparison.mcnemar_p = McNemarExact(comparison.only_first, comparison.only_second);
    }
    comparisons.push_back(std::move(comparison));
  }
  if (comparisons.empty())
    return MakeError(ErrorCode::kInvalidArgument, "the runs have no suite in common");
  return comparisons;
}

Json ToJson(const SuiteComparison& comparison) {
  Json json = {{"suite", comparison.suite},
               {"measure", MeasureName(comparison.measure)},
               {"pairs", comparison.num_pairs},
               {"unpaired", comparison.num_unpaired},
               {"first", Finite(comparison.first)},
               {"second", Finite(comparison.second)},
               {"difference", Finite(comparison.difference.difference)},
               {"low", Finite(comparison.difference.interval.low)},
               {"high", Finite(comparison.difference.interval.high)},
               {"permutation_p", comparison.difference.p_value}};
  if (comparison.mcnemar_p) {
    json["both_right"] = comparison.both;
    json["only_first_right"] = comparison.only_first;
    json["only_second_right"] = comparison.only_second;
    json["neither_right"] = comparison.neither;
    json["mcnemar_p"] = *comparison.mcnemar_p;
  }
  json["significant"] = comparison.p_value() < kSignificant;
  return json;
}

std::string Describe(const SuiteComparison& comparison) {
  const Measure measure = comparison.measure;
  const PairedDifference& difference = comparison.difference;
  std::string text = comparison.suite + ", " + std::to_string(comparison.num_pairs) + " pairs";
  if (comparison.num_unpaired > 0)
    text += " (" + std::to_string(comparison.num_unpaired) + " items only one run has)";
  text += "\n  " + FormatScore(measure, comparison.first) + " and " +
          FormatScore(measure, comparison.second) + ": " +
          (measure == Measure::kPerplexity ? "log " : "") +
          FormatDifference(measure, difference.difference) + " (" +
          FormatDifference(measure, difference.interval.low) + " to " +
          FormatDifference(measure, difference.interval.high) + ")\n";
  if (comparison.mcnemar_p) {
    text += "  right in both " + std::to_string(comparison.both) + ", only the first " +
            std::to_string(comparison.only_first) + ", only the second " +
            std::to_string(comparison.only_second) + ", in neither " +
            std::to_string(comparison.neither) + "; McNemar exact " +
            FormatP(*comparison.mcnemar_p) + "\n";
  } else {
    text += "  permutation test " + FormatP(difference.p_value) + "\n";
  }
  const bool better = (difference.difference > 0) == comparison.higher_is_better;
  text += comparison.p_value() < kSignificant
              ? std::string("  The second is ") + (better ? "better" : "worse") +
                    ", more than chance explains.\n"
              : "  Chance explains the difference.\n";
  return text;
}

Result<std::vector<SuiteNoise>> MeasureNoise(const std::vector<StoredRun>& runs) {
  if (runs.size() < 2)
    return MakeError(ErrorCode::kInvalidArgument, "noise is measured between two runs or more");
  for (const StoredRun& run : runs) {
    const auto model = [](const StoredRun& of) {
      const std::string fingerprint = Text(of.settings, "model_fingerprint");
      return fingerprint.empty() ? Text(of.settings, "model") : fingerprint;
    };
    if (model(run) != model(runs[0])) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "the runs are of different models: " + Text(runs[0].settings, "model") +
                           " and " + Text(run.settings, "model"));
    }
  }
  std::vector<SuiteNoise> noises;
  for (const std::string& suite : SuitesOf(runs[0])) {
    std::vector<std::map<std::string, double>> scores;
    bool in_all = true;
    for (const StoredRun& run : runs) {
      const Json* setting = SuiteSetting(run, suite);
      in_all = in_all && setting != nullptr &&
               Text(*setting, "fingerprint") == Text(*SuiteSetting(runs[0], suite), "fingerprint");
      scores.push_back(ScoresOf(run, suite));
    }
    if (!in_all) continue;
    std::vector<std::vector<double>> rows(runs.size());
    for (const auto& [id, score] : scores[0]) {
      if (!std::ranges::all_of(scores, [&](const auto& run) { return run.contains(id); })) continue;
      for (size_t run = 0; run < runs.size(); ++run) rows[run].push_back(scores[run].at(id));
    }
    if (rows[0].empty()) continue;
    SuiteNoise noise;
    noise.suite = suite;
    noise.measure = MeasureOf(*SuiteSetting(runs[0], suite));
    noise.num_items = static_cast<int64_t>(rows[0].size());
    noise.noise = NoiseOfRepeats(rows);
    noises.push_back(std::move(noise));
  }
  if (noises.empty())
    return MakeError(ErrorCode::kInvalidArgument, "the runs have no suite in common");
  return noises;
}

Json ToJson(const SuiteNoise& noise) {
  return {{"suite", noise.suite},
          {"measure", MeasureName(noise.measure)},
          {"items", noise.num_items},
          {"scores", noise.noise.means},
          {"standard_deviation", noise.noise.standard_deviation},
          {"noise_floor", noise.noise.floor},
          {"changed_items", noise.noise.flips}};
}

std::string Describe(const SuiteNoise& noise) {
  std::string text = noise.suite + ", " + std::to_string(noise.num_items) + " items, " +
                     std::to_string(noise.noise.means.size()) + " runs:";
  for (const double mean : noise.noise.means) text += " " + FormatScore(noise.measure, mean);
  text += "\n  standard deviation " + FormatScore(noise.measure, noise.noise.standard_deviation) +
          "; two runs differ by up to " + FormatScore(noise.measure, noise.noise.floor) +
          " by themselves; " + Printed("%.1f%%", 100 * noise.noise.flips) +
          " of the items changed\n";
  return text;
}

}  // namespace hearth::eval
