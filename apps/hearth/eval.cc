// hearth eval: how good a model is, with what the figures are worth.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "apps/hearth/commands.h"
#include "apps/hearth/eval_compare.h"
#include "apps/hearth/interrupt.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"
#include "eval/fingerprint.h"
#include "eval/models/backend_answerer.h"
#include "eval/models/endpoint_answerer.h"
#include "eval/report/html_report.h"
#include "eval/runs/run_folder.h"
#include "eval/runs/runner.h"
#include "eval/runs/summary.h"
#include "eval/suites/make_suite.h"
#include "runtime/engine/kv_check.h"

namespace hearth {
namespace {

constexpr int kMaxParallel = 256;

struct EvalFlags {
  ModelFlags model;
  eval::SuiteOptions suite;
  std::vector<std::string> suites;
  std::string base_url, judge_url, judge_model = "judge", against;
  std::string output;
  int parallel = 16;
  bool resume = false;
  bool json = false;
};

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool Stopped() { return InterruptGuard::Requested(); }

// The model under test and, where it is another, the judge.
struct Models {
  LoadedModel local;
  std::unique_ptr<eval::Answerer> model, judge;
};

Result<Models> OpenModels(const EvalFlags& flags) {
  Models models;
  if (flags.base_url.empty()) {
    HEARTH_ASSIGN_OR_RETURN(models.local, LoadModel(flags.model, [&](EngineOptions& options) {
                              options.max_sequences = flags.parallel;
                            }));
    models.model = std::make_unique<eval::BackendAnswerer>(*models.local.backend, Stopped);
  } else {
    eval::EndpointOptions options;
    options.base_url = flags.base_url;
    options.model = flags.model.model.empty() ? "default" : flags.model.model;
    options.api_key = Environment("HEARTH_API_KEY");
    HEARTH_ASSIGN_OR_RETURN(models.model, eval::EndpointAnswerer::Create(options, Stopped));
  }
  if (!flags.judge_url.empty()) {
    eval::EndpointOptions options;
    options.base_url = flags.judge_url;
    options.model = flags.judge_model;
    options.api_key = Environment("HEARTH_JUDGE_KEY");
    HEARTH_ASSIGN_OR_RETURN(models.judge, eval::EndpointAnswerer::Create(options, Stopped));
  }
  return models;
}

Result<std::map<std::string, std::string>> AnswersOf(const std::string& run) {
  HEARTH_ASSIGN_OR_RETURN(const eval::StoredRun stored, eval::ReadRun(run));
  std::map<std::string, std::string> answers;
  for (const eval::ItemResult& item : stored.items)
    if (item.suite == "vicuna_bench") answers[item.id] = item.answer;
  if (answers.empty())
    return MakeError(ErrorCode::kInvalidArgument, run + " has no answers to vicuna_bench");
  return answers;
}

// Everything that decides what comes out; a folder's run goes on only where all of it is the same.
Result<Json> SettingsOf(const EvalFlags& flags, const Models& models,
                        const std::vector<std::unique_ptr<eval::Suite>>& suites) {
  Json settings = {{"model", models.model->id()}};
  if (flags.base_url.empty()) {
    HEARTH_ASSIGN_OR_RETURN(settings["model_fingerprint"],
                            eval::FileFingerprint(models.local.path));
    const ModelDescription& description = models.local.backend->engine().description();
    settings["kv_type"] = KvTypeName(description.kv_type);
    settings["activations"] = flags.model.activations == ActivationType::kF32 ? "f32" : "int8";
    settings["context"] = models.local.backend->engine().context_length();
  } else {
    settings["base_url"] = flags.base_url;
  }
  settings["temperature"] = flags.suite.temperature;
  settings["seed"] = flags.suite.seed;
  settings["max_tokens"] = flags.suite.max_tokens;
  settings["limit"] = flags.suite.limit;
  settings["tools"] = flags.suite.tools_in_prompt ? "prompt" : "template";
  settings["judge"] = models.judge ? models.judge->id() + " at " + flags.judge_url : "the model";
  for (const auto& suite : suites) {
    const eval::SuiteInfo& info = suite->info();
    settings["suite." + info.name] = {{"fingerprint", info.fingerprint},
                                      {"title", info.title},
                                      {"measure", eval::MeasureName(info.measure)},
                                      {"higher_is_better", info.higher_is_better}};
  }
  return settings;
}

Result<eval::ReportSuite> RunOne(const eval::Suite& suite, const EvalFlags& flags, Models& models,
                                 eval::RunFolder* folder) {
  ProgressBar bar(suite.info().name);
  eval::RunnerOptions options;
  options.parallel = flags.parallel;
  options.stop = Stopped;
  options.on_progress = [&](size_t done, size_t total) {
    bar.SetLabel(suite.info().name + " " + std::to_string(done) + "/" + std::to_string(total));
    bar.Update(static_cast<double>(done) / static_cast<double>(std::max<size_t>(1, total)));
  };
  eval::ReportSuite report;
  HEARTH_ASSIGN_OR_RETURN(report.items, eval::RunSuite(suite, *models.model, folder, options));
  report.summary = eval::Summarise(suite.info(), report.items);
  return report;
}

void PrintSummary(const eval::SuiteSummary& summary) {
  const eval::Measure measure = summary.info.measure;
  Print(Format("%-14s %s over %lld items; noise floor %s\n", summary.info.name.c_str(),
               eval::FormatFigure(measure, summary.score).c_str(),
               static_cast<long long>(summary.num_judged),
               eval::FormatScore(measure, summary.noise_floor).c_str()));
  std::string outcomes;
  for (const auto& [outcome, count] : summary.outcomes)
    outcomes += (outcomes.empty() ? "" : ", ") + outcome + " " + std::to_string(count);
  Print("  " + outcomes + "\n");
  for (const auto& [name, figure] : summary.categories)
    Print(Format("  %-34s %s\n", name.c_str(), eval::FormatFigure(measure, figure).c_str()));
  for (const auto& [name, figure] : summary.figures) {
    Print(Format("  %-34s %s\n", name.c_str(),
                 eval::FormatFigure(eval::Measure::kMean, figure).c_str()));
  }
}

// What went wrong, and how to go on.
int FailRun(const Error& error, const EvalFlags& flags) {
  if (!flags.output.empty())
    Note("what is finished is kept in " + flags.output + "; --resume goes on");
  if (error.code == ErrorCode::kCancelled) return kExitInterrupted;
  return Fail(error);
}

int Eval(EvalFlags& flags) {
  if (flags.resume && flags.output.empty()) return FailUsage("--resume needs --output DIR");
  for (size_t i = 0; i < flags.suites.size(); ++i) {
    if (std::find(flags.suites.begin(), flags.suites.begin() + static_cast<ptrdiff_t>(i),
                  flags.suites[i]) != flags.suites.begin() + static_cast<ptrdiff_t>(i)) {
      return FailUsage(flags.suites[i] + " is named twice");
    }
  }
  if (!flags.against.empty()) {
    auto answers = AnswersOf(flags.against);
    if (!answers) return Fail(answers.error());
    flags.suite.against = std::move(*answers);
  }
  const InterruptGuard guard(/*once=*/true);
  Result<Models> models = OpenModels(flags);
  if (!models) return Fail(models.error());
  flags.suite.stop = Stopped;
  flags.suite.backend = models->local.backend.get();
  flags.suite.model_path = models->local.path;
  flags.suite.engine = EngineOptionsOf(flags.model);
  flags.suite.judge = models->judge.get();
  // All of them first: a suite that cannot run is told before hours of another one.
  std::vector<std::unique_ptr<eval::Suite>> suites;
  for (const std::string& name : flags.suites) {
    auto suite = eval::MakeSuite(name, flags.suite);
    if (!suite) return Fail(suite.error());
    suites.push_back(std::move(*suite));
  }
  const Result<Json> settings = SettingsOf(flags, *models, suites);
  if (!settings) return Fail(settings.error());
  std::unique_ptr<eval::RunFolder> folder;
  if (!flags.output.empty()) {
    auto opened = eval::RunFolder::Open(flags.output, *settings, flags.resume);
    if (!opened) return Fail(opened.error());
    folder = std::move(*opened);
  }

  const auto start = std::chrono::steady_clock::now();
  std::vector<eval::ReportSuite> reports;
  Json summaries = Json::array();
  for (const auto& suite : suites) {
    auto report = RunOne(*suite, flags, *models, folder.get());
    if (!report) return FailRun(report.error(), flags);
    summaries.push_back(eval::ToJson(report->summary));
    if (!flags.json) PrintSummary(report->summary);
    reports.push_back(std::move(*report));
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const Json results = {{"format", "hearth-eval-results"},
                        {"version", 1},
                        {"settings", *settings},
                        {"seconds", seconds},
                        {"suites", summaries}};
  if (folder) {
    for (const auto& [name, content] :
         {std::pair("results.json", ToJsonText(results, 2) + "\n"),
          std::pair("report.html", eval::HtmlReport(*settings, reports))}) {
      if (const Status written = folder->Write(name, content); !written)
        return Fail(written.error());
    }
    if (!flags.json) Print("report: " + flags.output + "/report.html\n");
  }
  if (flags.json) PrintJson(results);
  return kExitOk;
}

std::string SuiteList() {
  std::string text = "Suites:";
  for (const eval::SuiteDescription& suite : eval::KnownSuites())
    text += Format("\n  %-14s %s", suite.name, suite.what);
  return text;
}

void AddRunFlags(CLI::App& command, EvalFlags& flags) {
  command.add_option("suites", flags.suites, "What to run; the suites are listed below")
      ->expected(1, -1)
      ->type_name("SUITE");
  AddEngineFlags(command, flags.model);
  command.add_option("--data", flags.suite.data_dir, "Folder with the suites' data")
      ->envname("HEARTH_DATA")
      ->type_name("DIR");
  command.add_option("--limit", flags.suite.limit, "Items of each suite; 0: all")
      ->check(CLI::NonNegativeNumber.description(""))
      ->capture_default_str();
  command
      .add_option("-o,--output", flags.output,
                  "Folder for run.json, items.jsonl, results.json and report.html")
      ->type_name("DIR");
  command.add_flag("--resume", flags.resume, "Go on with the run in --output");
  command.add_flag("--json", flags.json, "The results as one JSON object");
  command.add_option("--parallel", flags.parallel, "Items under way at once")
      ->check(CLI::Range(1, kMaxParallel).description(""))
      ->capture_default_str();
  command.add_option("--temperature", flags.suite.temperature, "Of the answers; 0: greedy")
      ->check(CLI::Range(0.0, 100.0).description(""))
      ->capture_default_str();
  command.add_option("--seed", flags.suite.seed, "Of the answers, with a temperature")
      ->capture_default_str();
  command
      .add_option("--max-tokens", flags.suite.max_tokens, "Of an answer; 0: as the suite has it")
      ->check(CLI::NonNegativeNumber.description(""))
      ->capture_default_str();
  command
      .add_option(
          "--base-url", flags.base_url,
          "Test the model of an OpenAI-compatible server instead; --model is its name there")
      ->type_name("URL");
  command
      .add_option("--text", flags.suite.text_path,
                  "perplexity, kl: the text; without it GSM8K's questions and answers")
      ->type_name("FILE");
  command.add_option("--window", flags.suite.window, "perplexity, kl: tokens of a window")
      ->check(CLI::Range(4, 1 << 20).description(""))
      ->capture_default_str();
  command.add_option("--reference", flags.suite.reference_path, "kl: the model to compare with")
      ->type_name("FILE");
  command.add_flag("--tools-in-prompt", flags.suite.tools_in_prompt,
                   "bfcl: describe functions in a system prompt, not through the chat template");
  command
      .add_option(
          "--judge-url", flags.judge_url,
          "vicuna_bench: an OpenAI-compatible server that judges; without it the model itself")
      ->type_name("URL");
  command.add_option("--judge-model", flags.judge_model, "The judge's name there")
      ->capture_default_str();
  command
      .add_option("--against", flags.against,
                  "vicuna_bench: judge in pairs against the answers of this run")
      ->type_name("DIR");
}

}  // namespace

void AddEval(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("eval", "Measure how good a model is at tasks");
  const auto flags = std::make_shared<EvalFlags>();
  AddRunFlags(*command, *flags);
  AddEvalCompare(*command, action);
  AddEvalNoise(*command, action);
  command->require_subcommand(0, 1);
  AddExamples(*command,
              "  hearth eval humaneval --model model.gguf --data data --output runs/a\n"
              "  hearth eval gsm8k bbh --limit 100 --json\n"
              "  hearth eval humaneval --output runs/a --resume\n"
              "  hearth eval kl --model small.gguf --reference source.gguf --text book.txt\n"
              "  hearth eval vicuna_bench --judge-url http://127.0.0.1:9000/v1 --judge-model big\n"
              "  hearth eval compare runs/a runs/b\n"
              "  hearth eval noise runs/seed1 runs/seed2 runs/seed3\n\n" +
                  SuiteList() +
                  "\n\nGenerated code runs in a sandbox; where the system allows none, suites with "
                  "code are refused.");
  command->callback([&action, flags, command] {
    if (!command->get_subcommands().empty()) return;
    action = [flags] {
      if (flags->suites.empty())
        return FailUsage("no suite: hearth eval SUITE..., for example hearth eval gsm8k");
      return Eval(*flags);
    };
  });
}

}  // namespace hearth
