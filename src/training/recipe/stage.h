#pragma once
// What a stage of a recipe is: a function from input files and parameters to output files and
// figures. A StageKind declares the keys it reads and the outputs it writes; the runner
// (training/recipe/runner.h) finds its inputs, gives it folders, keeps what it made and never runs
// it twice for the same inputs.
//
// To add a kind: declare it, implement Run, put it into AllStageKinds (training/recipe/stages).

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "training/recipe/keys.h"

namespace hearth::forge {

// What outputs and inputs contain; an input that wants one gets no other.
namespace content {
inline constexpr const char* kRows = "rows";        // messages as JSON lines
inline constexpr const char* kModel = "model";      // a GGUF, or a Hugging Face folder
inline constexpr const char* kAdapter = "adapter";  // a PEFT adapter's folder or a GGUF adapter
inline constexpr const char* kDraftHead = "draft_head";  // docs/formats/draft_head.md
inline constexpr const char* kReport = "report";         // JSON for people and reports
inline constexpr const char* kCurves = "curves";         // figures by step: JSON lines
inline constexpr const char* kSamples = "samples";       // texts for a report: JSON lines
}  // namespace content

struct OutputSpec {
  std::string name;
  std::string file;  // its name in the artifact's folder: a file or a folder
  std::string content;
  std::string help;
  bool optional = false;  // a run may end without it
};

struct StageDeclaration {
  std::string name;
  // Counts up when the same inputs would now give another result: old artifacts are not used then.
  int version = 1;
  std::string summary;  // a sentence or two
  std::vector<KeySpec> keys;
  std::vector<OutputSpec> outputs;  // the first is what a bare stage name means
  // What keys say about each other; the message names the key. May be empty.
  std::function<Status(const Parameters&)> check;

  const KeySpec* FindKey(std::string_view key) const;
  const OutputSpec* FindOutput(std::string_view output) const;
};

// A measured number; low and high are its 95% interval where there is one.
struct StageFigure {
  std::string name;
  double value = 0;
  std::optional<double> low, high;
  std::string unit;  // "tokens/s", "bytes", "" for none
};

struct StageResult {
  std::vector<StageFigure> figures;
  std::string device = "cpu";  // what did the work, in words: "2 x NVIDIA H100"
  int num_devices = 0;         // accelerators held: their hours are the cost
};

// What a running stage has. Threads: Progress, Log and cancelled() from any; the rest is constant.
class StageContext {
 public:
  struct Options {
    const StageDeclaration* declaration = nullptr;
    Parameters parameters;
    std::map<std::string, std::vector<std::string>, std::less<>> inputs;  // paths by key
    std::string output_folder;
    std::string scratch_folder;
    std::string hearth_program;  // "" where it was not found
    // Starts a copy of this program for a stage in several processes (stages/processes.h): program
    // and arguments, to which the path of a file is added. Empty: there is none.
    std::vector<std::string> copy_command;
    const std::atomic<bool>* cancelled = nullptr;
    std::function<void(double done, std::string_view what)> on_progress;
    std::function<void(std::string_view line)> on_log;
  };
  explicit StageContext(Options options) : options_(std::move(options)) {}

  const StageDeclaration& declaration() const { return *options_.declaration; }
  const Parameters& parameters() const { return options_.parameters; }
  // Where the input of a key lies. Requires: a declared input key; Input also that it was given.
  bool HasInput(std::string_view key) const { return !Inputs(key).empty(); }
  const std::string& Input(std::string_view key) const;
  const std::vector<std::string>& Inputs(std::string_view key) const;

  // Where to write an output: a name in an empty folder that becomes the artifact when Run ends
  // well. Requires: a declared output.
  std::string Output(std::string_view name) const;
  const std::string& output_folder() const { return options_.output_folder; }
  // Survives a kill and is there again when the same stage runs next: for checkpoints. Removed
  // when the stage is done.
  const std::string& scratch_folder() const { return options_.scratch_folder; }
  // The program `hearth`, for stages that run it. Errors: kNotFound with what to do about it.
  Result<std::string> HearthProgram() const;
  const std::vector<std::string>& copy_command() const { return options_.copy_command; }

  // 0 to 1, and what is being done. Cheap enough for every step.
  void Progress(double done, std::string_view what) const;
  // A line of the stage's log, kept with its artifact.
  void Log(std::string_view line) const;
  // Somebody wants an end: Run saves what it can and returns kCancelled.
  bool cancelled() const { return options_.cancelled != nullptr && options_.cancelled->load(); }
  const std::atomic<bool>* cancel_flag() const { return options_.cancelled; }

 private:
  Options options_;
};

// Immutable; Run may be called by one thread at a time.
class StageKind {
 public:
  virtual ~StageKind() = default;
  virtual const StageDeclaration& declaration() const = 0;
  // Writes every declared output that is not optional. Errors say which input and what; kCancelled
  // when asked to stop. Exceptions of libraries are caught by the runner.
  virtual Result<StageResult> Run(const StageContext& context) const = 0;
};

// The kinds that a recipe may name. Not owned.
using StageKinds = std::vector<const StageKind*>;
const StageKind* FindKind(const StageKinds& kinds, std::string_view name);

// Name and paths of a file that stages of every training kind leave: figures by step.
inline constexpr const char* kCurvesFile = "metrics.jsonl";

}  // namespace hearth::forge
