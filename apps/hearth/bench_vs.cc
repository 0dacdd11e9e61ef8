#include "apps/hearth/bench_vs.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>

#include "apps/hearth/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"
#include "base/process.h"
#include "comparison/machine.h"
#include "comparison/side_by_side.h"
#include "runtime/engine/kv_check.h"

namespace hearth {
namespace {

constexpr const char* kPeerProgram = "llama-bench";

std::string Today() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
  return text;
}

// This very program, whatever it was called as.
Result<std::string> OwnProgram() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return MakeError(ErrorCode::kIo, "/proc/self/exe: " + error.message());
  return path.string();
}

// The command line without the folders of this machine.
std::string CommandLine(const SideBySideOptions& options) {
  std::string text = "hearth bench --vs llama.cpp --rounds " + std::to_string(options.rounds) +
                     " --threads " + std::to_string(options.threads);
  if (options.quick) text += " --quick";
  if (!options.peer_contexts) text += " --no-peer-contexts";
  for (const std::string& argument : options.hearth_arguments) text += " " + argument;
  for (const std::string& model : options.models)
    text += " --model " + std::filesystem::path(model).filename().string();
  return text;
}

Result<SideBySideOptions> OptionsOf(const BenchVsFlags& flags, const ModelFlags& model,
                                    const std::vector<std::string>& models) {
  SideBySideOptions options;
  HEARTH_ASSIGN_OR_RETURN(options.hearth, OwnProgram());
  const Result<std::string> peer = FindProgram(flags.peer.empty() ? kPeerProgram : flags.peer);
  if (!peer) {
    return MakeError(peer.error().code, peer.error().message +
                                            ": name it with --peer (hearth bench --help says how "
                                            "to get it)");
  }
  options.peer = *peer;
  for (const std::string& asked : models) {
    HEARTH_ASSIGN_OR_RETURN(std::string path, ResolveModelPath(asked));
    options.models.push_back(std::move(path));
  }
  const MachineDescription machine = DescribeMachine();
  options.threads = model.threads > 0 ? model.threads : std::max(machine.cores, 1);
  options.rounds = flags.rounds;
  options.timeout_s = flags.timeout_s;
  options.peer_contexts = !flags.no_peer_contexts;
  if (model.activations == ActivationType::kF32)
    options.hearth_arguments = {"--activations", "f32"};
  if (model.kv_type != KvType::kF16) {
    options.hearth_arguments.insert(options.hearth_arguments.end(),
                                    {"--kv-type", KvTypeName(model.kv_type)});
  }
  return options;
}

Json MachineJson(const MachineDescription& machine) {
  return {{"processor", machine.processor},
          {"instructions", machine.instructions},
          {"cores", machine.cores},
          {"system", machine.system},
          {"compiler", __VERSION__}};
}

}  // namespace

const char* const kHowToGetThePeer =
    "Comparing with llama.cpp: --vs runs its llama-bench (from --peer or PATH) on the same files,\n"
    "in turn with Hearth, with and without repacked weights and flash attention; its best counts.\n"
    "To get it, build llama.cpp for this processor:\n"
    "  git clone https://github.com/ggml-org/llama.cpp && cd llama.cpp\n"
    "  cmake -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build --target llama-bench\n"
    "or build the copy in llama-cpp-python's source, in its folder vendor/llama.cpp:\n"
    "  pip download --no-deps --no-binary :all: llama-cpp-python\n"
    "Some distributions have it as a package of a similar name. Where it stops\n"
    "at an illegal instruction: -DGGML_NATIVE=OFF and the processor's features by hand.";

int BenchVs(const BenchVsFlags& flags, const ModelFlags& model,
            const std::vector<std::string>& models, bool quick, bool json) {
  if (flags.vs != "llama.cpp")
    return FailUsage("--vs " + OneLine(flags.vs) + ": only llama.cpp can be compared with");
  Result<SideBySideOptions> options = OptionsOf(flags, model, models);
  if (!options) return Fail(options.error());
  options->quick = quick;
  ProgressBar bar("Comparing");
  options->on_progress = [&bar](const std::string& step, double done) {
    bar.SetLabel(OneLine(step));
    bar.Update(done);
  };
  const Result<SideBySide> result = CompareSideBySide(*options);
  bar.Clear();
  if (!result) return Fail(result.error());
  const MachineDescription machine = DescribeMachine();
  if (json) {
    Json report = {{"kind", "side-by-side"},
                   {"date", Today()},
                   {"command", CommandLine(*options)},
                   {"version", HEARTH_VERSION},
                   {"peer", "llama.cpp"},
                   {"machine", MachineJson(machine)},
                   {"threads", options->threads},
                   {"rounds", options->rounds}};
    report.update(SideBySideJson(*result));
    PrintJson(report);
    return kExitOk;
  }
  Print(OneLine(machine.processor) + ", " + machine.instructions +
        Format(", %d cores, %d threads", machine.cores, options->threads) + ", " +
        OneLine(machine.system) + "\n" +
        Format("%d rounds; llama.cpp %s at its best setting for each figure\n\n", options->rounds,
               OneLine(result->peer_build).c_str()));
  PrintUntrusted(FormatSideBySide(*result));
  return kExitOk;
}

}  // namespace hearth
