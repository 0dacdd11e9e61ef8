// hearth bench: how fast a model runs here, each figure beside what the machine could do at best
// and, with --vs, beside another runtime.

#include <memory>
#include <string>
#include <vector>

#include "apps/hearth/bench_report.h"
#include "apps/hearth/bench_vs.h"
#include "apps/hearth/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"
#include "runtime/engine/bench.h"

namespace hearth {
namespace {

struct BenchFlags {
  ModelFlags model;
  std::vector<std::string> models;
  BenchVsFlags vs;
  bool quick = false;
  bool json = false;
};

int Bench(const BenchFlags& flags) {
  if (flags.models.size() > 1) return FailUsage("more than one --model needs --vs");
  const Result<std::string> path =
      ResolveModelPath(flags.models.empty() ? std::string() : flags.models[0]);
  if (!path) return Fail(path.error());
  BenchOptions options;
  options.engine = EngineOptionsOf(flags.model);
  options.quick = flags.quick;
  ProgressBar load("Preparing the model (once)");
  options.engine.on_load_progress = [&load](double done) {
    load.Update(done);
    if (done >= 1) load.Clear();
  };
  ProgressBar bar("Measuring");
  options.on_progress = [&bar](const std::string& step, double done) {
    bar.SetLabel("Measuring " + step);
    bar.Update(done);
  };
  const Result<BenchReport> report = RunBench(*path, options);
  load.Clear();
  bar.Clear();
  if (!report) return Fail(report.error());
  if (flags.json) {
    PrintJson(BenchJson(*report));
  } else {
    PrintBenchTable(*report);
  }
  return kExitOk;
}

}  // namespace

void AddBench(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("bench", "Measure a model's speed here, beside the machine's limits");
  const auto flags = std::make_shared<BenchFlags>();
  command
      ->add_option("-m,--model", flags->models,
                   "Model file (GGUF); with --vs several, each with its own --model")
      ->envname("HEARTH_MODEL")
      ->type_name("FILE")
      ->take_all();
  AddThreadsFlag(*command, flags->model);
  AddPrecisionFlags(*command, flags->model);
  AddKvMemoryFlag(*command, flags->model);
  command->add_flag("--quick", flags->quick, "Leave out long prompts, long contexts and batches");
  command->add_flag("--json", flags->json, "One JSON object");
  CLI::Option* vs =
      command
          ->add_option("--vs", flags->vs.vs, "Compare with another runtime, alternating: llama.cpp")
          ->type_name("NAME");
  command->add_option("--peer", flags->vs.peer, "Its benchmark program; else llama-bench in PATH")
      ->type_name("PATH")
      ->needs(vs);
  command
      ->add_flag("--no-peer-contexts", flags->vs.no_peer_contexts,
                 "Leave out its long contexts, which take it minutes each")
      ->needs(vs);
  command->add_option("--rounds", flags->vs.rounds, "Times that both are measured")
      ->check(CLI::Range(1, 100).description(""))
      ->capture_default_str()
      ->needs(vs);
  command->add_option("--peer-timeout", flags->vs.timeout_s, "Seconds for one run of a program")
      ->check(CLI::Range(1, 1 << 20).description(""))
      ->capture_default_str()
      ->needs(vs);
  AddExamples(*command, std::string("  hearth bench\n"
                                    "  hearth bench --model model.gguf --threads 2 --json | jq "
                                    ".decode_tps\n"
                                    "  hearth bench --vs llama.cpp --peer llama.cpp/build/bin/"
                                    "llama-bench --model a.gguf --model b.gguf\n\n") +
                            kHowToGetThePeer);
  command->callback([&action, flags] {
    action = [flags] {
      if (flags->vs.vs.empty()) return Bench(*flags);
      const std::vector<std::string> models =
          flags->models.empty() ? std::vector<std::string>{""} : flags->models;
      return BenchVs(flags->vs, flags->model, models, flags->quick, flags->json);
    };
  });
}

}  // namespace hearth
