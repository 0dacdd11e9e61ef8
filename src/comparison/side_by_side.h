#pragma once
// Hearth and llama.cpp on the same model files, alternating in one run. Both are programs of their
// own (`hearth bench --json`, `llama-bench`), started afresh for every measurement, so that neither
// finds the other's memory or threads.
// Threads: as RunProcess.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "comparison/spread.h"

namespace hearth {

struct SideBySideOptions {
  std::string hearth;               // our program
  std::string peer;                 // the llama-bench program
  std::vector<std::string> models;  // GGUF files
  int threads = 1;
  int rounds = 3;
  bool quick = false;                         // leaves out long contexts and batches
  bool peer_contexts = true;                  // false: leaves out the peer's long contexts
  std::vector<std::string> hearth_arguments;  // more for `hearth bench`, e.g. --activations f32
  double timeout_s = 1200;                    // of one program's run
  // Called before each step with its name and the part done, 0 to 1.
  std::function<void(const std::string& step, double done)> on_progress;
};

// One figure of one model. A spread is over the rounds.
struct ComparedFigure {
  std::string name;  // e.g. "prefill 512"
  std::string unit;  // "tok/s": more is better; "ms", "x": less is
  Spread ours;
  std::optional<Spread> limit;          // what the machine allows, measured in the same runs
  std::map<std::string, Spread> peers;  // by setting; none where no setting worked
  std::string best_setting;             // the one whose median is best
  std::optional<Spread> ratio;          // our advantage over it, round by round; above 1: we win

  bool less_is_better() const { return unit != "tok/s"; }
};

struct ComparedModel {
  std::string name;  // the file's, without folder
  int64_t file_bytes = 0;
  Spread read_gbps;
  Spread int8_gmacs;
  std::vector<ComparedFigure> figures;
  nlohmann::ordered_json ours;     // `hearth bench --json`, every number its median over the rounds
  nlohmann::ordered_json startup;  // milliseconds to the first token, peak memory; see MeasureStart
  std::vector<std::string> notes;  // settings of the peer that failed, and how
};

struct SideBySide {
  std::string peer_build;  // the peer's commit, where it says so
  std::vector<ComparedModel> models;
};

// A setting of the peer that fails is noted and left out from then on. Errors: those of starting
// either program; kInternal when ours fails (says how); kUnavailable when none of the peer's
// settings worked for any model.
Result<SideBySide> CompareSideBySide(const SideBySideOptions& options);

// The table that people read, in Markdown.
std::string FormatSideBySide(const SideBySide& comparison);
// For scripts/make-performance-page; benchmarks/README.md names the fields.
nlohmann::ordered_json SideBySideJson(const SideBySide& comparison);

// Objects of one shape: every number becomes the median of theirs. Requires a non-empty list.
nlohmann::ordered_json MedianOfReports(const std::vector<nlohmann::ordered_json>& reports);

}  // namespace hearth
