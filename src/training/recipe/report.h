#pragma once
// What a run did, for people: a table for a terminal's `status`, JSON for machines, and a report of
// one self-contained HTML page (nothing is loaded from elsewhere, no scripts) for light and dark.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "training/recipe/ledger.h"

namespace hearth::forge {

// A run with all that the ledger knows of it.
struct RunView {
  RunRecord run;
  std::vector<StageRecord> stages;
  std::map<std::string, Artifact> artifacts;  // those of its stages that are there, by key
  // Whether a process works in the folder now; what is "running" without one was killed.
  bool in_use = false;

  const Artifact* ArtifactOf(const StageRecord& stage) const;
  // "interrupted" for what says it runs while nobody does.
  std::string StateOf(const RunRecord& run_record) const;
  std::string StateOf(const StageRecord& stage) const;
};

// Errors: those of the ledger; kNotFound for a run that is not there, naming those that are.
// `run` is its number or its name (the newest of that name); "" the newest of all.
Result<RunView> ViewRun(Ledger& ledger, const std::string& workdir, const std::string& run);
Result<RunView> ViewRun(Ledger& ledger, const std::string& workdir, const RunRecord& run);

// What the recipe wanted beside what was measured.
struct TargetOutcome {
  std::string figure;
  std::string wanted;                   // "at least 2.6"
  std::optional<StageFigure> measured;  // nothing: the stage has not run, or has no such figure
  bool reached = false;
  bool surely = true;  // false: the interval reaches to the other side
  std::string note;
};
std::vector<TargetOutcome> TargetsOf(const RunView& view);

// {"run": 1, "name": ..., "state": ..., "stages": [{..., "figures": {...}}], "targets": [...]}
std::string RunAsJson(const RunView& view);

// `workdir` for the curves, samples and logs of its artifacts.
std::string RunAsHtml(const RunView& view, const std::string& workdir);

}  // namespace hearth::forge
