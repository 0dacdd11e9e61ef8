#include "apps/hearth/eval_compare.h"

#include <memory>
#include <string>
#include <vector>

#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/terminal.h"
#include "eval/runs/comparison.h"

namespace hearth {
namespace {

struct CompareFlags {
  std::vector<std::string> runs;
  bool json = false;
};

Result<std::vector<eval::StoredRun>> ReadRuns(const std::vector<std::string>& paths) {
  std::vector<eval::StoredRun> runs;
  for (const std::string& path : paths) {
    HEARTH_ASSIGN_OR_RETURN(eval::StoredRun run, eval::ReadRun(path));
    runs.push_back(std::move(run));
  }
  return runs;
}

template <typename T>
int Show(const Result<std::vector<T>>& suites, bool json) {
  if (!suites) return Fail(suites.error());
  Json list = Json::array();
  for (const T& suite : *suites) {
    list.push_back(eval::ToJson(suite));
    if (!json) Print(eval::Describe(suite));
  }
  if (json) PrintJson({{"suites", list}});
  return kExitOk;
}

int Compare(const CompareFlags& flags) {
  const auto runs = ReadRuns(flags.runs);
  if (!runs) return Fail(runs.error());
  return Show(eval::CompareRuns((*runs)[0], (*runs)[1]), flags.json);
}

int Noise(const CompareFlags& flags) {
  const auto runs = ReadRuns(flags.runs);
  if (!runs) return Fail(runs.error());
  return Show(eval::MeasureNoise(*runs), flags.json);
}

}  // namespace

void AddEvalCompare(CLI::App& eval, Action& action) {
  CLI::App* command = eval.add_subcommand(
      "compare", "Is the second run better than the first, and more than by chance?");
  const auto flags = std::make_shared<CompareFlags>();
  command->add_option("runs", flags->runs, "Two folders of hearth eval --output")
      ->expected(2)
      ->required()
      ->type_name("RUN");
  command->add_flag("--json", flags->json, "One JSON object");
  AddExamples(*command, "  hearth eval compare runs/base runs/adapter");
  command->callback([&action, flags] { action = [flags] { return Compare(*flags); }; });
}

void AddEvalNoise(CLI::App& eval, Action& action) {
  CLI::App* command = eval.add_subcommand(
      "noise", "How much do runs of one model with other seeds differ by themselves?");
  const auto flags = std::make_shared<CompareFlags>();
  command->add_option("runs", flags->runs, "Two folders of hearth eval --output, or more")
      ->expected(2, -1)
      ->required()
      ->type_name("RUN");
  command->add_flag("--json", flags->json, "One JSON object");
  AddExamples(*command, "  hearth eval noise runs/seed1 runs/seed2 runs/seed3");
  command->callback([&action, flags] { action = [flags] { return Noise(*flags); }; });
}

}  // namespace hearth
