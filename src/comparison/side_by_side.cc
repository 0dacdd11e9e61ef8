#include "comparison/side_by_side.h"

#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/process.h"
#include "comparison/figures.h"
#include "comparison/llama_bench.h"

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kGenerated = 32;        // tokens of the peer's decode test
constexpr int kMiddleContext = 2048;  // of the peer's decode in a context, beside the longest

// A folder that goes away with its contents.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    std::string pattern = std::filesystem::temp_directory_path(error) / "hearth-bench-XXXXXX";
    if (!error && mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class ModelRunner {
 public:
  ModelRunner(const SideBySideOptions& options, const std::string& model, bool knows_repack)
      : options_(options), model_(model), knows_repack_(knows_repack) {}

  Status Round(int round, const std::function<void(const std::string&)>& progress) {
    // Who comes first changes: what a run leaves behind (a warm processor, a full cache) meets
    // both.
    if (round % 2 == 0) HEARTH_RETURN_IF_ERROR(Ours(round, progress));
    HEARTH_RETURN_IF_ERROR(Peers(progress));
    if (round % 2 == 1) HEARTH_RETURN_IF_ERROR(Ours(round, progress));
    return {};
  }

  ComparedModel Finish() const {
    ComparedModel result = measured_.Summarise();
    result.name = std::filesystem::path(model_).filename();
    std::error_code error;
    const auto bytes = std::filesystem::file_size(model_, error);
    if (!error) result.file_bytes = static_cast<int64_t>(bytes);
    result.startup = MedianOfReports(starts_);
    if (!first_start_.is_null()) result.startup.update(first_start_);
    result.notes = notes_;
    return result;
  }

  const std::string& peer_build() const { return peer_build_; }
  bool any_peer() const { return measured_.any_peer(); }

 private:
  Status Ours(int round, const std::function<void(const std::string&)>& progress) {
    progress("Hearth");
    std::vector<std::string> command = {
        options_.hearth, "bench", "--model", model_, "--threads", std::to_string(options_.threads),
        "--json"};
    if (options_.quick) command.push_back("--quick");
    command.insert(command.end(), options_.hearth_arguments.begin(),
                   options_.hearth_arguments.end());
    HEARTH_ASSIGN_OR_RETURN(const ProcessOutcome outcome, RunOurs(command, {}));
    const Json report = Json::parse(outcome.output, nullptr, /*allow_exceptions=*/false);
    HEARTH_RETURN_IF_ERROR(measured_.AddOurs(report));
    if (round == 0) {
      const TemporaryFolder cache;
      HEARTH_ASSIGN_OR_RETURN(const Json first, MeasureStart(cache.path()));
      first_start_ = {{"first_ms", first["ms"]}, {"first_peak_mb", first["peak_mb"]}};
    }
    HEARTH_ASSIGN_OR_RETURN(Json start, MeasureStart(""));
    starts_.push_back(std::move(start));
    return {};
  }

  // A program's whole life up to its first token: start, model, a prompt of one word. With a
  // cache folder of its own the weights are re-laid first.
  Result<Json> MeasureStart(const std::string& cache_folder) {
    std::vector<std::pair<std::string, std::string>> environment;
    if (!cache_folder.empty()) environment.emplace_back("XDG_CACHE_HOME", cache_folder);
    const std::vector<std::string> command = {options_.hearth,
                                              "run",
                                              "--model",
                                              model_,
                                              "--threads",
                                              std::to_string(options_.threads),
                                              "--raw",
                                              "--max-tokens",
                                              "1",
                                              "The"};
    HEARTH_ASSIGN_OR_RETURN(const ProcessOutcome outcome, RunOurs(command, environment));
    return Json{{"ms", outcome.seconds * 1000}, {"peak_mb", outcome.peak_rss_mb}};
  }

  Result<ProcessOutcome> RunOurs(
      const std::vector<std::string>& command,
      const std::vector<std::pair<std::string, std::string>>& environment) const {
    ProcessOptions process;
    process.command = command;
    process.environment = environment;
    process.timeout_s = options_.timeout_s;
    HEARTH_ASSIGN_OR_RETURN(ProcessOutcome outcome, RunProcess(process));
    if (outcome.ok()) return outcome;
    return MakeError(ErrorCode::kInternal, "hearth " + command[1] + " on " + model_ + ": " +
                                               DescribeEnd(outcome, process.timeout_s));
  }

  Status Peers(const std::function<void(const std::string&)>& progress) {
    for (const bool repack : {false, true}) {
      if (repack && !knows_repack_) continue;
      for (const bool flash : {false, true}) {
        PeerCommand command = BaseCommand({repack, flash});
        command.repetitions = 2;
        command.prompts = {kVerifyWidth};
        command.prompts.insert(command.prompts.end(), std::begin(kPromptLengths),
                               std::end(kPromptLengths));
        command.num_generated = kGenerated;
        HEARTH_RETURN_IF_ERROR(RunPeer(command, progress));
      }
    }
    if (!options_.quick && options_.peer_contexts) HEARTH_RETURN_IF_ERROR(LongPeers(progress));
    return {};
  }

  PeerCommand BaseCommand(PeerSetting setting) const {
    PeerCommand command;
    command.model = model_;
    command.threads = options_.threads;
    command.setting = setting;
    command.knows_repack = knows_repack_;
    return command;
  }

  // A prompt of thousands of tokens takes the peer minutes: only the repacking that decodes best is
  // tried here, and after the first round only the flash attention that was better.
  Status LongPeers(const std::function<void(const std::string&)>& progress) {
    const std::optional<std::string> best = measured_.BestPeer("decode");
    if (!best) return {};
    const bool repack = best->starts_with("repack 1");
    for (const auto& [kv_type, contexts] : measured_.OurContexts()) {
      if (PeerKvType(kv_type).empty() || contexts.empty()) continue;
      const std::optional<std::string> better =
          measured_.BestPeer(DecodeAtName(*contexts.rbegin(), kv_type));
      for (const bool flash : {false, true}) {
        // The peer's quantised V needs flash attention.
        if (kv_type != "f16" && !flash) continue;
        PeerCommand command = BaseCommand({repack, flash});
        if (better && *better != SettingName(command)) continue;
        command.kv_type = PeerKvType(kv_type);
        command.num_generated = kGenerated;
        command.depths.clear();
        for (const int context : contexts) {
          if (context == kMiddleContext || context == *contexts.rbegin())
            command.depths.push_back(context - kGenerated);
        }
        HEARTH_RETURN_IF_ERROR(RunPeer(command, progress, kv_type));
      }
    }
    return {};
  }

  std::string SettingName(const PeerCommand& command) const {
    return command.setting.Name(knows_repack_);
  }

  Status RunPeer(const PeerCommand& command,
                 const std::function<void(const std::string&)>& progress,
                 const std::string& kv_type = "f16") {
    const std::string name = SettingName(command);
    const std::string kind =
        command.depths == std::vector<int>{0} ? name : name + ", long context, KV " + kv_type;
    if (failed_.contains(kind)) return {};
    progress("llama.cpp, " + kind);
    ProcessOptions process;
    process.command = {options_.peer};
    const std::vector<std::string> arguments = LlamaBenchArguments(command);
    process.command.insert(process.command.end(), arguments.begin(), arguments.end());
    process.timeout_s = options_.timeout_s;
    HEARTH_ASSIGN_OR_RETURN(const ProcessOutcome outcome, RunProcess(process));
    const PeerRun run = ParseLlamaBench(outcome.output);
    if (!run.build.empty()) peer_build_ = run.build;
    measured_.AddPeer(name, kv_type, kGenerated, run);
    if (!outcome.ok() || run.tokens_per_second.empty()) {
      failed_.insert(kind);
      notes_.push_back(
          "llama.cpp with " + kind + ": " +
          (outcome.ok() ? "no figures in its output" : DescribeEnd(outcome, process.timeout_s)));
    }
    return {};
  }

  const SideBySideOptions& options_;
  const std::string& model_;
  bool knows_repack_;
  MeasuredFigures measured_;
  Json first_start_;
  std::vector<Json> starts_;
  std::set<std::string> failed_;
  std::vector<std::string> notes_;
  std::string peer_build_;
};

// Whether this llama-bench has --repack; also shows that the program runs at all.
Result<bool> PeerKnowsRepack(const std::string& peer) {
  ProcessOptions process;
  process.command = {peer, "--help"};
  process.timeout_s = 60;
  HEARTH_ASSIGN_OR_RETURN(const ProcessOutcome outcome, RunProcess(process));
  if (outcome.signal != 0 || outcome.timed_out) {
    return MakeError(ErrorCode::kUnavailable,
                     peer + " --help: " + DescribeEnd(outcome, process.timeout_s));
  }
  return outcome.output.find("--repack") != std::string::npos;
}

}  // namespace

Result<SideBySide> CompareSideBySide(const SideBySideOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(const bool knows_repack, PeerKnowsRepack(options.peer));
  SideBySide result;
  bool any_peer = false;
  const double total = static_cast<double>(options.models.size()) * options.rounds;
  double done = 0;
  std::string failures;
  for (const std::string& model : options.models) {
    ModelRunner runner(options, model, knows_repack);
    for (int round = 0; round < options.rounds; ++round, ++done) {
      const std::string prefix = std::filesystem::path(model).filename().string() + ", round " +
                                 std::to_string(round + 1) + ": ";
      HEARTH_RETURN_IF_ERROR(runner.Round(round, [&](const std::string& step) {
        if (options.on_progress) options.on_progress(prefix + step, done / total);
      }));
    }
    result.models.push_back(runner.Finish());
    if (result.peer_build.empty()) result.peer_build = runner.peer_build();
    any_peer = any_peer || runner.any_peer();
    if (failures.empty() && !result.models.back().notes.empty())
      failures = result.models.back().notes[0];
  }
  if (!any_peer)
    return MakeError(ErrorCode::kUnavailable, "no setting of llama.cpp worked: " + failures);
  return result;
}

}  // namespace hearth
