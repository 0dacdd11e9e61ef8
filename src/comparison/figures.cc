#include "comparison/figures.h"

#include <algorithm>
#include <charconv>

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;

const std::string kVerify = "verify(" + std::to_string(kVerifyWidth) + ")";
const std::string kVerifyRatio = kVerify + " / decode";

std::string PrefillName(int length) { return "prefill " + std::to_string(length); }

std::string UnitOf(const std::string& figure) {
  if (figure == kVerify) return "ms";
  return figure == kVerifyRatio ? "x" : "tok/s";
}

// A positive number at a path of keys; none where there is nothing of that kind.
std::optional<double> Number(const Json& json, std::initializer_list<std::string> path) {
  const Json* value = &json;
  for (const std::string& key : path) {
    if (!value->is_object()) return std::nullopt;
    const auto found = value->find(key);
    if (found == value->end()) return std::nullopt;
    value = &*found;
  }
  if (!value->is_number() || !(value->get<double>() > 0)) return std::nullopt;
  return value->get<double>();
}

struct OurFigure {
  std::string name;
  double value;
  std::optional<double> limit;
};

std::map<std::string, std::set<int>> ContextsOf(const Json& report) {
  std::map<std::string, std::set<int>> contexts;
  const auto found = report.find("decode_at");
  if (found == report.end() || !found->is_object()) return contexts;
  for (const auto& [kv_type, speeds] : found->items()) {
    if (!speeds.is_object()) continue;
    for (const auto& [key, speed] : speeds.items()) {
      int context = 0;
      const char* end = key.data() + key.size();
      if (std::from_chars(key.data(), end, context).ptr == end && context > 0)
        contexts[kv_type].insert(context);
    }
  }
  return contexts;
}

std::vector<OurFigure> FiguresOf(const Json& report) {
  std::vector<OurFigure> figures;
  const auto add = [&figures](const std::string& name, std::optional<double> value,
                              std::optional<double> limit) {
    if (value) figures.push_back({name, *value, limit});
  };
  const std::string width = std::to_string(kVerifyWidth);
  add("decode", Number(report, {"decode_tps"}), Number(report, {"decode_limit_tps"}));
  add(kVerify, Number(report, {"pass_ms", width}), Number(report, {"pass_limit_ms", width}));
  std::optional<double> ratio_limit = Number(report, {"pass_limit_ms", width});
  if (const auto one = Number(report, {"pass_limit_ms", "1"}); one && ratio_limit)
    ratio_limit = *ratio_limit / *one;
  add(kVerifyRatio, Number(report, {"verify_ratio", width}), ratio_limit);
  for (const int length : kPromptLengths) {
    const std::string key = std::to_string(length);
    add(PrefillName(length), Number(report, {"prefill_tps", key}),
        Number(report, {"prefill_limit_tps", key}));
  }
  for (const auto& [kv_type, contexts] : ContextsOf(report)) {
    for (const int context : contexts) {
      const std::string key = std::to_string(context);
      add(DecodeAtName(context, kv_type), Number(report, {"decode_at", kv_type, key}),
          Number(report, {"decode_at_limit", kv_type, key}));
    }
  }
  return figures;
}

Spread RatioOf(const std::vector<double>& ours, const std::vector<double>& peers,
               bool less_is_better) {
  std::vector<double> ratios;
  for (size_t round = 0; round < std::min(ours.size(), peers.size()); ++round) {
    ratios.push_back(less_is_better ? peers[round] / ours[round] : ours[round] / peers[round]);
  }
  return SpreadOf(std::move(ratios));
}

}  // namespace

std::string DecodeAtName(int context, const std::string& kv_type) {
  return "decode at " + std::to_string(context) + ", KV " + kv_type;
}

Status MeasuredFigures::AddOurs(const Json& report) {
  const std::vector<OurFigure> figures =
      report.is_object() ? FiguresOf(report) : std::vector<OurFigure>{};
  if (figures.empty())
    return MakeError(ErrorCode::kInternal, "hearth bench --json printed no figures");
  for (const OurFigure& figure : figures) {
    if (!ours_.contains(figure.name)) order_.push_back(figure.name);
    ours_[figure.name].push_back(figure.value);
    if (figure.limit) limits_[figure.name].push_back(*figure.limit);
  }
  reports_.push_back(report);
  return {};
}

void MeasuredFigures::AddPeer(const std::string& setting, const std::string& kv_type, int generated,
                              const PeerRun& run) {
  for (const auto& [test, speed] : run.tokens_per_second) {
    std::string name;
    double value = speed;
    if (test.num_generated > 0) {
      name = test.depth == 0 ? "decode" : DecodeAtName(test.depth + generated, kv_type);
    } else if (test.num_prompt == kVerifyWidth) {
      name = kVerify;
      value = kVerifyWidth * 1000 / speed;
      // Both of one run: the machine may be another one a minute later.
      const auto decode = run.tokens_per_second.find({0, generated, 0});
      if (decode != run.tokens_per_second.end())
        peers_[kVerifyRatio][setting].push_back(kVerifyWidth / speed * decode->second);
    } else {
      name = PrefillName(test.num_prompt);
    }
    peers_[name][setting].push_back(value);
  }
}

std::map<std::string, std::set<int>> MeasuredFigures::OurContexts() const {
  return reports_.empty() ? std::map<std::string, std::set<int>>{} : ContextsOf(reports_.back());
}

std::optional<std::string> MeasuredFigures::BestPeer(const std::string& figure) const {
  const auto found = peers_.find(figure);
  if (found == peers_.end()) return std::nullopt;
  const bool less_is_better = UnitOf(figure) != "tok/s";
  const auto best = std::max_element(found->second.begin(), found->second.end(),
                                     [&](const auto& a, const auto& b) {
                                       const double left = SpreadOf(a.second).median;
                                       const double right = SpreadOf(b.second).median;
                                       return less_is_better ? right < left : left < right;
                                     });
  return best->first;
}

ComparedModel MeasuredFigures::Summarise() const {
  ComparedModel model;
  Rounds read_gbps, int8_gmacs;
  for (const Json& report : reports_) {
    if (const auto value = Number(report, {"read_gbps"})) read_gbps.push_back(*value);
    if (const auto value = Number(report, {"int8_gmacs"})) int8_gmacs.push_back(*value);
  }
  model.read_gbps = SpreadOf(std::move(read_gbps));
  model.int8_gmacs = SpreadOf(std::move(int8_gmacs));
  if (!reports_.empty()) model.ours = MedianOfReports(reports_);
  for (const std::string& name : order_) {
    ComparedFigure figure;
    figure.name = name;
    figure.unit = UnitOf(name);
    const Rounds& ours = ours_.at(name);
    figure.ours = SpreadOf(ours);
    if (const auto limit = limits_.find(name); limit != limits_.end())
      figure.limit = SpreadOf(limit->second);
    if (const auto best = BestPeer(name)) {
      const auto& settings = peers_.at(name);
      for (const auto& [setting, rounds] : settings) figure.peers[setting] = SpreadOf(rounds);
      figure.best_setting = *best;
      figure.ratio = RatioOf(ours, settings.at(*best), figure.less_is_better());
    }
    model.figures.push_back(std::move(figure));
  }
  return model;
}

Json MedianOfReports(const std::vector<Json>& reports) {
  Json result = reports.front();
  if (result.is_object()) {
    for (auto& [key, value] : result.items()) {
      std::vector<Json> values;
      for (const Json& report : reports) {
        if (report.is_object() && report.contains(key)) values.push_back(report[key]);
      }
      value = MedianOfReports(values);
    }
  } else if (result.is_number()) {
    std::vector<double> values;
    for (const Json& report : reports) {
      if (report.is_number()) values.push_back(report.get<double>());
    }
    const double median = SpreadOf(std::move(values)).median;
    // Counts stay whole numbers.
    if (result.is_number_float() || median != static_cast<double>(static_cast<int64_t>(median))) {
      result = median;
    } else {
      result = static_cast<int64_t>(median);
    }
  }
  return result;
}

}  // namespace hearth
