// How a comparison is shown: to people and to programs.

#include <cstdio>

#include "comparison/side_by_side.h"

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;

// Four digits that mean something.
std::string Digits(double value) {
  char text[32];
  const int decimals = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3;
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string WithSpread(const Spread& spread) {
  return Digits(spread.median) + " (" + Digits(spread.min) + "-" + Digits(spread.max) + ")";
}

std::string ReachedOfLimit(const ComparedFigure& figure) {
  if (!figure.limit || figure.limit->median <= 0 || figure.ours.median <= 0) return "";
  const double part = figure.less_is_better() ? figure.limit->median / figure.ours.median
                                              : figure.ours.median / figure.limit->median;
  char text[32];
  std::snprintf(text, sizeof text, " (%.0f%%)", 100 * part);
  return Digits(figure.limit->median) + text;
}

std::string Row(const std::string& model, const ComparedFigure& figure) {
  std::string row = "| " + model + " | " + figure.name + ", " + figure.unit + " | " +
                    WithSpread(figure.ours) + " | " + ReachedOfLimit(figure) + " | ";
  if (figure.ratio) {
    row += WithSpread(figure.peers.at(figure.best_setting)) + " | " + figure.best_setting + " | " +
           WithSpread(*figure.ratio) + " |\n";
  } else {
    row += " | | |\n";
  }
  return row;
}

Json ToJson(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

Json ToJson(const ComparedFigure& figure) {
  Json json = {{"name", figure.name}, {"unit", figure.unit}, {"ours", ToJson(figure.ours)}};
  json["limit"] = figure.limit ? ToJson(*figure.limit) : Json();
  Json settings = Json::object();
  for (const auto& [name, spread] : figure.peers) settings[name] = ToJson(spread);
  json["peer"] = figure.ratio ? ToJson(figure.peers.at(figure.best_setting)) : Json();
  json["peer_setting"] = figure.best_setting;
  json["ratio"] = figure.ratio ? ToJson(*figure.ratio) : Json();
  json["peer_settings"] = std::move(settings);
  return json;
}

}  // namespace

std::string FormatSideBySide(const SideBySide& comparison) {
  std::string text =
      "| model | figure | Hearth (spread) | limit (reached) | llama.cpp (spread) | its best "
      "setting "
      "| ratio (spread) |\n| --- | --- | --- | --- | --- | --- | --- |\n";
  for (const ComparedModel& model : comparison.models) {
    for (const ComparedFigure& figure : model.figures) text += Row(model.name, figure);
    text += "| " + model.name + " | memory read, GB/s; int8 peak, GMAC/s | " +
            WithSpread(model.read_gbps) + "; " + WithSpread(model.int8_gmacs) + " | | | | |\n";
  }
  for (const ComparedModel& model : comparison.models) {
    for (const std::string& note : model.notes) text += "\n" + model.name + ": " + note + "\n";
  }
  return text;
}

Json SideBySideJson(const SideBySide& comparison) {
  Json models = Json::array();
  for (const ComparedModel& model : comparison.models) {
    Json figures = Json::array();
    for (const ComparedFigure& figure : model.figures) figures.push_back(ToJson(figure));
    models.push_back({{"model", model.name},
                      {"file_bytes", model.file_bytes},
                      {"read_gbps", ToJson(model.read_gbps)},
                      {"int8_gmacs", ToJson(model.int8_gmacs)},
                      {"figures", std::move(figures)},
                      {"startup", model.startup},
                      {"ours", model.ours},
                      {"notes", model.notes}});
  }
  return {{"peer_build", comparison.peer_build}, {"models", std::move(models)}};
}

}  // namespace hearth
