// hearth bench: how fast a model runs here, each figure beside what the machine could do at best.

#include <memory>
#include <string>

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
  bool quick = false;
  bool json = false;
};

// An object keyed by the numbers as text, as JSON wants it.
Json ByNumber(const std::map<int, double>& values) {
  Json json = Json::object();
  for (const auto& [number, value] : values) json[std::to_string(number)] = value;
  return json;
}

Json ByName(const std::map<std::string, double>& values) {
  Json json = Json::object();
  for (const auto& [name, value] : values) json[name] = value;
  return json;
}

Json ToJson(const BenchReport& report) {
  Json json = {{"model", ModelIdFromPath(report.model.path)},
               {"architecture", report.model.architecture},
               {"kernels", report.isa},
               {"threads", report.threads},
               {"read_gbps", report.machine.read_gbps},
               {"int8_gmacs", report.machine.int8_gmacs},
               {"weight_bytes", report.weight_bytes},
               {"macs_per_token", report.macs_per_token},
               {"decode_tps", report.decode_tps},
               {"decode_limit_tps", report.decode_limit_tps},
               {"verify_ratio", ByNumber(report.verify_ratio)},
               {"prefill_tps", ByNumber(report.prefill_tps)},
               {"prefill_limit_tps", report.prefill_limit_tps},
               {"ttft_ms", report.ttft_ms},
               {"cached_ttft_ms", report.cached_ttft_ms},
               {"load_ms", report.load_ms},
               {"peak_rss_mb", report.peak_rss_mb}};
  if (report.long_context > 0) {
    json["long_context"] = report.long_context;
    json["long_decode_tps"] = ByName(report.long_decode_tps);
    json["long_decode_limit_tps"] = ByName(report.long_decode_limit_tps);
  }
  if (report.batch_requests > 0) {
    json["batch_requests"] = report.batch_requests;
    json["batch_tps"] = report.batch_tps;
  }
  return json;
}

// Name, figure, the limit beside it and what part of it was reached.
void Row(const std::string& name, double value, double limit, const std::string& unit) {
  std::string line = Format("%-30s%10.1f %-6s", name.c_str(), value, unit.c_str());
  // Of a time the limit is the smaller one.
  const double reached = unit == "ms" ? limit / value : value / limit;
  if (limit > 0) line += Format("%10.1f %-6s %4.0f%%", limit, unit.c_str(), 100 * reached);
  while (line.ends_with(' ')) line.pop_back();
  Print(line + "\n");
}

void PrintTable(const BenchReport& report) {
  Print(OneLine(ModelIdFromPath(report.model.path)) + ", " + FormatBytes(report.weight_bytes) +
        " read per token, " +
        Format("%d threads, %s kernels\n", report.threads, report.isa.c_str()));
  Print(Format("this machine reads %.1f GB/s and multiplies %.0f G int8 a second\n\n",
               report.machine.read_gbps, report.machine.int8_gmacs));
  Print(Format("%-30s%17s%17s\n", "", "measured", "limit"));
  Row("decode", report.decode_tps, report.decode_limit_tps, "tok/s");
  for (const auto& [name, tps] : report.long_decode_tps) {
    const auto limit = report.long_decode_limit_tps.find(name);
    Row("decode at " + std::to_string(report.long_context) + ", KV " + name, tps,
        limit == report.long_decode_limit_tps.end() ? 0 : limit->second, "tok/s");
  }
  for (const auto& [length, tps] : report.prefill_tps) {
    Row("prefill of " + std::to_string(length), tps, report.prefill_limit_tps, "tok/s");
  }
  if (report.batch_requests > 0)
    Row("batch of " + std::to_string(report.batch_requests), report.batch_tps, 0, "tok/s");
  for (const auto& [width, ratio] : report.verify_ratio) {
    Print(Format("%-30s%10.2f x     %10.2f x\n",
                 ("pass over " + std::to_string(width) + " tokens").c_str(), ratio, 1.0));
  }
  Row("time to first token, 128", report.ttft_ms,
      report.prefill_limit_tps > 0 ? 128 * 1000 / report.prefill_limit_tps : 0, "ms");
  Row("the same, prompt known", report.cached_ttft_ms,
      report.decode_limit_tps > 0 ? 1000 / report.decode_limit_tps : 0, "ms");
  Row("load", report.load_ms, 0, "ms");
  Row("peak memory", report.peak_rss_mb, 0, "MB");
}

int Bench(const BenchFlags& flags) {
  const Result<std::string> path = ResolveModelPath(flags.model.model);
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
    PrintJson(ToJson(*report));
  } else {
    PrintTable(*report);
  }
  return kExitOk;
}

}  // namespace

void AddBench(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("bench", "Measure a model's speed here, beside the machine's limits");
  const auto flags = std::make_shared<BenchFlags>();
  AddModelFlag(*command, flags->model);
  AddThreadsFlag(*command, flags->model);
  AddPrecisionFlags(*command, flags->model);
  command->add_flag("--quick", flags->quick, "Leave out long prompts, long contexts and batches");
  command->add_flag("--json", flags->json, "One JSON object");
  AddExamples(*command,
              "  hearth bench\n"
              "  hearth bench --model model.gguf --threads 2 --json | jq .decode_tps");
  command->callback([&action, flags] { action = [flags] { return Bench(*flags); }; });
}

}  // namespace hearth
