#include "training/recipe/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "training/recipe/html.h"
#include "training/recipe/workdir.h"

namespace hearth::forge {
namespace {

using Json = nlohmann::ordered_json;

Json JsonOf(const StageFigure& figure) {
  Json json = {{"value", figure.value}};
  if (figure.low) json["low"] = *figure.low;
  if (figure.high) json["high"] = *figure.high;
  if (!figure.unit.empty()) json["unit"] = figure.unit;
  return json;
}

std::string WantedText(const std::optional<double>& at_least,
                       const std::optional<double>& at_most) {
  std::string text;
  if (at_least) text += "at least " + NumberText(*at_least);
  if (at_most) text += (text.empty() ? "at most " : ", at most ") + NumberText(*at_most);
  return text;
}

std::optional<double> MaybeNumber(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

}  // namespace

const Artifact* RunView::ArtifactOf(const StageRecord& stage) const {
  const auto found = artifacts.find(stage.artifact);
  return found == artifacts.end() ? nullptr : &found->second;
}

std::string RunView::StateOf(const RunRecord& run_record) const {
  if (run_record.state == RunState::kRunning && !in_use) return "interrupted";
  return std::string(RunStateName(run_record.state));
}

std::string RunView::StateOf(const StageRecord& stage) const {
  if (stage.state == RunState::kRunning && !in_use) return "interrupted";
  return std::string(RunStateName(stage.state));
}

Result<RunView> ViewRun(Ledger& ledger, const std::string& workdir, const RunRecord& run) {
  RunView view;
  view.run = run;
  view.in_use = HolderOf(workdir).has_value();
  HEARTH_ASSIGN_OR_RETURN(view.stages, ledger.Stages(run.id));
  for (const StageRecord& stage : view.stages) {
    HEARTH_ASSIGN_OR_RETURN(std::optional<Artifact> artifact, ledger.FindArtifact(stage.artifact));
    if (artifact) view.artifacts.emplace(stage.artifact, *std::move(artifact));
  }
  return view;
}

Result<RunView> ViewRun(Ledger& ledger, const std::string& workdir, const std::string& run) {
  HEARTH_ASSIGN_OR_RETURN(const std::vector<RunRecord> runs, ledger.Runs());
  for (const RunRecord& record : runs)
    if (run.empty() || std::to_string(record.id) == run || record.name == run)
      return ViewRun(ledger, workdir, record);
  std::string known;
  for (const RunRecord& record : runs) {
    if (known.size() > 200) break;
    known += (known.empty() ? "" : ", ") + std::to_string(record.id) + " (" + record.name + ")";
  }
  return MakeError(ErrorCode::kNotFound, known.empty() ? "there are no runs in " + workdir
                                                       : "there is no run " + run + " in " +
                                                             workdir + "; there are " + known);
}

std::vector<TargetOutcome> TargetsOf(const RunView& view) {
  std::vector<TargetOutcome> outcomes;
  const Json targets = Json::parse(view.run.targets, nullptr, false);
  if (!targets.is_array()) return outcomes;
  for (const Json& target : targets) {
    if (!target.is_object()) continue;
    TargetOutcome outcome;
    outcome.figure = target.value("figure", "");
    outcome.note = target.value("note", "");
    const auto at_least = MaybeNumber(target, "at_least"), at_most = MaybeNumber(target, "at_most");
    outcome.wanted = WantedText(at_least, at_most);
    const size_t dot = outcome.figure.find('.');
    for (const StageRecord& stage : view.stages) {
      const Artifact* artifact = view.ArtifactOf(stage);
      if (dot == std::string::npos || stage.name != outcome.figure.substr(0, dot) || !artifact)
        continue;
      const auto figure =
          std::ranges::find(artifact->figures, outcome.figure.substr(dot + 1), &StageFigure::name);
      if (figure != artifact->figures.end()) outcome.measured = *figure;
    }
    if (outcome.measured) {
      const StageFigure& figure = *outcome.measured;
      outcome.reached =
          (!at_least || figure.value >= *at_least) && (!at_most || figure.value <= *at_most);
      const auto inside = [&](const std::optional<double>& limit) {
        return limit && figure.low && figure.high && *figure.low < *limit && *limit < *figure.high;
      };
      outcome.surely = !inside(at_least) && !inside(at_most);
    }
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

std::string RunAsJson(const RunView& view) {
  Json json = {{"run", view.run.id},
               {"name", view.run.name},
               {"recipe", view.run.recipe_path},
               {"state", view.StateOf(view.run)},
               {"attempts", view.run.attempts},
               {"started_at", view.run.started_at},
               {"ended_at", view.run.ended_at},
               {"host", view.run.host},
               {"program", view.run.program}};
  json["stages"] = Json::array();
  for (const StageRecord& stage : view.stages) {
    Json entry = {{"name", stage.name},           {"kind", stage.kind},
                  {"state", view.StateOf(stage)}, {"progress", stage.progress},
                  {"doing", stage.doing},         {"seconds", stage.seconds},
                  {"artifact", stage.artifact}};
    if (!stage.error.empty()) entry["error"] = stage.error;
    if (const Artifact* artifact = view.ArtifactOf(stage)) {
      entry["device"] = artifact->device;
      entry["device_hours"] = artifact->num_devices * artifact->seconds / 3600;
      Json figures = Json::object();
      for (const StageFigure& figure : artifact->figures) figures[figure.name] = JsonOf(figure);
      entry["figures"] = std::move(figures);
    }
    json["stages"].push_back(std::move(entry));
  }
  json["targets"] = Json::array();
  for (const TargetOutcome& target : TargetsOf(view)) {
    Json entry = {{"figure", target.figure}, {"wanted", target.wanted}};
    entry["measured"] = target.measured ? JsonOf(*target.measured) : Json();
    entry["reached"] = target.measured ? Json(target.reached) : Json();
    json["targets"].push_back(std::move(entry));
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace hearth::forge
