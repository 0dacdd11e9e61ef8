#include "training/recipe/runner.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <new>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <thread>

#include "base/atomic_file.h"
#include "base/sha256.h"
#include "training/recipe/workdir.h"

namespace hearth::forge {
namespace {

using Clock = std::chrono::steady_clock;

// "name, CPU model, 16 cores": what a time means is told by the machine.
std::string HostName() {
  utsname names{};
  std::string text = uname(&names) == 0 ? names.nodename : "unknown";
  std::ifstream cpu("/proc/cpuinfo");
  for (std::string line; std::getline(cpu, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) text += ", " + line.substr(colon + 2);
    break;
  }
  return text + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores";
}

std::string TargetsJson(const Recipe& recipe) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const RecipeTarget& target : recipe.targets) {
    nlohmann::ordered_json entry = {{"figure", target.figure}};
    if (target.at_least) entry["at_least"] = *target.at_least;
    if (target.at_most) entry["at_most"] = *target.at_most;
    if (!target.note.empty()) entry["note"] = target.note;
    json.push_back(std::move(entry));
  }
  return json.dump();
}

// Every value for people, those of inputs as written.
std::string AllParameters(const RecipeStage& stage) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [key, value] : stage.parameters.values()) json[key] = ValueText(value);
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Status WriteText(const std::string& path, std::string_view text) {
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(text))));
  return file.Commit();
}

// One line per message with its time. A stage goes on without its log when the disk is full.
class StageLog {
 public:
  explicit StageLog(const std::string& path) : file_(std::fopen(path.c_str(), "ae")) {}
  void Line(std::string_view text) {
    if (file_ == nullptr) return;
    const std::lock_guard lock(mutex_);
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    char stamp[32];
    std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ ", &utc);
    std::fputs(stamp, file_.get());
    std::fwrite(text.data(), 1, text.size(), file_.get());
    std::fputc('\n', file_.get());
    std::fflush(file_.get());
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
  std::mutex mutex_;
};

class Runner {
 public:
  Runner(const Recipe& recipe, const RunOptions& options, const RunEvents& events, Workdir workdir,
         Ledger ledger)
      : recipe_(recipe),
        options_(options),
        events_(events),
        workdir_(std::move(workdir)),
        ledger_(std::move(ledger)),
        host_(HostName()) {}

  Result<RunSummary> Run() {
    const Clock::time_point start = Clock::now();
    HEARTH_ASSIGN_OR_RETURN(plan_, MakePlan(recipe_, workdir_.path(), &ledger_, options_.plan));
    // Before anything is made again the old one goes: killed now, the next call makes it too.
    HEARTH_RETURN_IF_ERROR(DiscardWhatIsMadeAgain());
    if (events_.on_plan) events_.on_plan(recipe_, plan_);
    HEARTH_ASSIGN_OR_RETURN(const bool done, IsDone());
    if (done) return summary_;
    HEARTH_RETURN_IF_ERROR(Begin());
    RunState state = RunState::kDone;
    Status outcome;
    for (size_t place = 0; place < plan_.stages.size() && outcome; ++place) {
      outcome = DoStage(place);
      if (!outcome) {
        state =
            outcome.error().code == ErrorCode::kCancelled ? RunState::kStopped : RunState::kFailed;
      }
    }
    HEARTH_RETURN_IF_ERROR(ledger_.EndRun(summary_.run, state, UnixSeconds()));
    if (!outcome) return tl::unexpected(outcome.error());
    summary_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return summary_;
  }

 private:
  Status DiscardWhatIsMadeAgain() {
    if (options_.plan.from.empty()) return {};
    for (const PlannedStage& planned : plan_.stages) {
      if (planned.work != PlannedWork::kMake) continue;
      HEARTH_RETURN_IF_ERROR(workdir_.Discard(planned.key));
      HEARTH_RETURN_IF_ERROR(ledger_.DropArtifact(planned.key));
    }
    return {};
  }

  // Whether this very run ended well before and all it made is still there: nothing is done then.
  Result<bool> IsDone() {
    const auto reused = [](const PlannedStage& stage) { return stage.work == PlannedWork::kReuse; };
    if (!std::ranges::all_of(plan_.stages, reused)) return false;
    HEARTH_ASSIGN_OR_RETURN(const std::vector<RunRecord> runs, ledger_.Runs());
    for (const RunRecord& run : runs) {
      if (run.identity != plan_.identity || run.state != RunState::kDone) continue;
      summary_.run = run.id;
      summary_.num_reused = static_cast<int>(plan_.stages.size());
      for (const RecipeStage& stage : recipe_.stages) {
        if (stage.output_dir.empty()) continue;
        const std::string& key =
            plan_.stages[static_cast<size_t>(recipe_.FindStage(stage.name))].key;
        if (const auto artifact = ReadArtifact(workdir_.ArtifactFolder(key), key, false))
          HEARTH_RETURN_IF_ERROR(CopyOutputs(stage, *artifact));
      }
      // The recipe's words, which change no artifact, may be new.
      return run.recipe_text == recipe_.text && run.targets == TargetsJson(recipe_);
    }
    return false;
  }

  Status Begin() {
    RunRecord run;
    run.name = recipe_.name;
    run.identity = plan_.identity;
    run.description = recipe_.description;
    run.recipe_path = recipe_.path;
    run.recipe_text = recipe_.text;
    for (const std::string& line : recipe_.overrides) run.overrides += line + "\n";
    run.targets = TargetsJson(recipe_);
    run.started_at = UnixSeconds();
    run.host = host_;
    run.program = options_.program;
    for (const PlannedStage& planned : plan_.stages) {
      const RecipeStage& stage = recipe_.stages[static_cast<size_t>(planned.stage)];
      StageRecord record;
      record.position = planned.stage;
      record.name = stage.name;
      record.kind = stage.declaration().name;
      record.artifact = planned.key;
      record.reads_from = planned.reads_from;
      records_.push_back(std::move(record));
    }
    HEARTH_ASSIGN_OR_RETURN(summary_.run, ledger_.BeginRun(run, records_));
    // With the seconds that earlier attempts took.
    HEARTH_ASSIGN_OR_RETURN(records_, ledger_.Stages(summary_.run));
    return {};
  }

  Status DoStage(size_t place) {
    const PlannedStage& planned = plan_.stages[place];
    const RecipeStage& stage = recipe_.stages[place];
    StageRecord& record = records_[place];
    std::optional<Artifact> artifact;
    Status outcome;
    if (planned.work == PlannedWork::kSkip) {
      record.state = RunState::kSkipped;
    } else if (planned.work == PlannedWork::kReuse || made_.contains(planned.key)) {
      // Two stages of one recipe may be the same: the second finds what the first made.
      artifact = ReadArtifact(workdir_.ArtifactFolder(planned.key), planned.key, false);
    }
    if (artifact) {
      // One that this run made itself, before it was stopped, stays what it is.
      if (record.state != RunState::kDone) record.state = RunState::kReused;
      record.progress = 1;
      ++summary_.num_reused;
      // The ledger may be younger than the artifact: a kill between the two, or a deleted ledger.
      outcome = ledger_.PutArtifact(*artifact);
    } else if (record.state != RunState::kSkipped) {
      if (events_.on_stage_begin) events_.on_stage_begin(stage);
      Result<Artifact> made = Make(planned, stage, record);
      record.ended_at = UnixSeconds();
      if (made) {
        record.state = RunState::kDone;
        record.progress = 1;
        record.doing.clear();
        ++summary_.num_made;
        made_.insert(planned.key);
        artifact = *std::move(made);
      } else {
        const bool stopped = made.error().code == ErrorCode::kCancelled;
        record.state = stopped ? RunState::kStopped : RunState::kFailed;
        record.error = made.error().message;
        outcome = MakeError(made.error().code, "stage " + stage.name + ": " + made.error().message);
      }
    }
    if (artifact && outcome && !stage.output_dir.empty()) outcome = CopyOutputs(stage, *artifact);
    HEARTH_RETURN_IF_ERROR(ledger_.UpdateStage(record));
    if (events_.on_stage_end) events_.on_stage_end(stage, record, artifact ? &*artifact : nullptr);
    return outcome;
  }

  Result<Artifact> Make(const PlannedStage& planned, const RecipeStage& stage,
                        StageRecord& record) {
    const Clock::time_point start = Clock::now();
    const double seconds_before = planned.work == PlannedWork::kResume ? record.seconds : 0;
    const auto seconds = [&] {
      return seconds_before + std::chrono::duration<double>(Clock::now() - start).count();
    };
    HEARTH_ASSIGN_OR_RETURN(const Workdir::StageFolders folders, workdir_.Prepare(planned.key));
    record.state = RunState::kRunning;
    record.error.clear();
    record.started_at = UnixSeconds();
    HEARTH_RETURN_IF_ERROR(ledger_.UpdateStage(record));

    StageLog log(workdir_.LogPath(planned.key));
    log.Line("begins: " + stage.declaration().name + " version " +
             std::to_string(stage.declaration().version) + ", " + AllParameters(stage));
    std::mutex progress_mutex;
    Clock::time_point last_written{};
    StageContext::Options context;
    context.declaration = &stage.declaration();
    context.parameters = stage.parameters;
    for (size_t i = 0; i < planned.inputs.size(); ++i)
      context.inputs[planned.inputs[i].key].push_back(PathOf(planned.inputs[i]));
    context.output_folder = folders.output;
    context.scratch_folder = folders.scratch;
    context.hearth_program = options_.hearth_program;
    context.copy_command = options_.copy_command;
    context.cancelled = options_.cancelled;
    context.on_log = [&](std::string_view line) { log.Line(line); };
    context.on_progress = [&](double done, std::string_view doing) {
      if (events_.on_progress) events_.on_progress(done, doing);
      const std::lock_guard lock(progress_mutex);
      record.progress = done;
      record.doing = doing;
      record.seconds = seconds();
      if (Clock::now() - last_written < std::chrono::seconds(1)) return;
      last_written = Clock::now();
      // A progress that cannot be written is no reason to end hours of work.
      static_cast<void>(ledger_.UpdateStage(record));
    };
    Result<StageResult> result = RunGuarded(*stage.kind, StageContext(std::move(context)));
    const std::lock_guard lock(progress_mutex);
    record.seconds = seconds();
    if (!result) {
      log.Line("ends: " + result.error().message);
      return tl::unexpected(result.error());
    }
    log.Line("done");
    HEARTH_ASSIGN_OR_RETURN(Artifact artifact, Describe(planned, stage, *result, folders.output));
    artifact.seconds = record.seconds;
    HEARTH_RETURN_IF_ERROR(WriteText(folders.output + "/artifact.json", ToJson(artifact)));
    std::error_code error;
    std::filesystem::rename(workdir_.LogPath(planned.key), folders.output + "/stage.log", error);
    HEARTH_RETURN_IF_ERROR(workdir_.Keep(planned.key));
    HEARTH_RETURN_IF_ERROR(ledger_.PutArtifact(artifact));
    return artifact;
  }

  // The boundary for what libraries beneath a stage throw.
  static Result<StageResult> RunGuarded(const StageKind& kind, const StageContext& context) {
    try {
      return kind.Run(context);
    } catch (const std::bad_alloc&) {
      return MakeError(ErrorCode::kResourceExhausted, "out of memory");
    } catch (const std::exception& error) {
      return MakeError(ErrorCode::kInternal, error.what());
    }
  }

  std::string PathOf(const ArtifactInput& input) const {
    if (input.artifact.empty()) return input.path;
    for (const PlannedStage& planned : plan_.stages) {
      if (planned.key != input.artifact) continue;
      const StageDeclaration& kind =
          recipe_.stages[static_cast<size_t>(planned.stage)].declaration();
      return workdir_.ArtifactFolder(input.artifact) + "/" + kind.FindOutput(input.output)->file;
    }
    return "";
  }

  Result<Artifact> Describe(const PlannedStage& planned, const RecipeStage& stage,
                            const StageResult& result, const std::string& folder) const {
    const StageDeclaration& kind = stage.declaration();
    Artifact artifact;
    artifact.key = planned.key;
    artifact.kind = kind.name;
    artifact.version = kind.version;
    artifact.parameters = CanonicalParameters(stage.parameters, kind.keys);
    artifact.all_parameters = AllParameters(stage);
    if (stage.parameters.Has("seed")) artifact.seed = stage.parameters.Int("seed");
    artifact.inputs = planned.inputs;
    artifact.figures = result.figures;
    artifact.created_at = UnixSeconds();
    artifact.device = result.device;
    artifact.num_devices = result.num_devices;
    artifact.host = host_;
    artifact.program = options_.program;
    for (const OutputSpec& output : kind.outputs) {
      const std::string path = folder + "/" + output.file;
      std::error_code error;
      if (!std::filesystem::exists(path, error)) {
        if (output.optional) continue;
        return MakeError(ErrorCode::kInternal, "it did not write " + output.file);
      }
      HEARTH_ASSIGN_OR_RETURN(const PathContent content, HashPath(path, Sha256OfFile));
      artifact.outputs.push_back(
          {output.name, output.file, output.content, content.sha256, content.size_bytes});
    }
    return artifact;
  }

  Status CopyOutputs(const RecipeStage& stage, const Artifact& artifact) const {
    const std::string folder = workdir_.ArtifactFolder(artifact.key);
    for (const ArtifactOutput& output : artifact.outputs)
      HEARTH_RETURN_IF_ERROR(
          CopyOutput(folder + "/" + output.file, stage.output_dir + "/" + output.file));
    // Several stages may share one folder.
    return CopyOutput(folder + "/artifact.json", stage.output_dir + "/" + stage.name + ".json");
  }

  const Recipe& recipe_;
  const RunOptions& options_;
  const RunEvents& events_;
  Workdir workdir_;
  Ledger ledger_;
  std::string host_;
  Plan plan_;
  std::vector<StageRecord> records_;
  std::set<std::string> made_;  // keys
  RunSummary summary_;
};

}  // namespace

Result<RunSummary> RunRecipe(const Recipe& recipe, const RunOptions& options,
                             const RunEvents& events) {
  Workdir::LockOptions lock;
  lock.wait = options.wait;
  lock.holder = "running " + (recipe.path.empty() ? recipe.name : recipe.path);
  lock.cancelled = options.cancelled;
  HEARTH_ASSIGN_OR_RETURN(Workdir workdir, Workdir::Lock(options.workdir, lock));
  HEARTH_ASSIGN_OR_RETURN(Ledger ledger, Ledger::Open(options.workdir, true));
  return Runner(recipe, options, events, std::move(workdir), std::move(ledger)).Run();
}

}  // namespace hearth::forge
