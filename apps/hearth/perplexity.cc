// hearth perplexity: how well a model predicts a text, counted as llama-perplexity counts it, so
// that figures compare.

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "apps/hearth/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/score_windows.h"
#include "apps/hearth/terminal.h"
#include "runtime/engine/kv_check.h"

namespace hearth {
namespace {

constexpr int kDefaultWindow = 512;

struct PerplexityFlags {
  ModelFlags model;
  std::string file;
  int max_windows = 0;
  bool compare_kv = false;
  bool json = false;
};

// The text of the file without its last newline, which is an editor's.
Result<std::string> ReadText(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(std::string text, ReadTextFile(path));
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// What the KV type changes, over the first window of the text.
int CompareKvTypes(const PerplexityFlags& flags, const std::string& text) {
  const Result<std::string> path = ResolveModelPath(flags.model.model);
  if (!path) return Fail(path.error());
  ProgressBar load("Preparing the model (once)"), bar("Comparing");
  EngineOptions options = EngineOptionsOf(flags.model);
  options.on_load_progress = [&load](double done) { load.Update(done); };
  options.on_kv_check_progress = [&load, &bar](double done) {
    load.Clear();
    bar.Update(done);
  };
  const Result<KvAgreement> result = CompareKv(*path, options, text, flags.model.context_length);
  load.Clear();
  bar.Clear();
  if (!result) return Fail(result.error());
  const double f16 = std::exp(result->nll), reduced = std::exp(result->nll_reduced);
  if (flags.json) {
    PrintJson({{"kv_type", KvTypeName(flags.model.kv_type)},
               {"perplexity_f16", f16},
               {"perplexity", reduced},
               {"kl", result->kl},
               {"top1", result->top1},
               {"tokens_scored", result->num_positions},
               {"context", flags.model.context_length}});
  } else {
    Print(
        Format("perplexity %.4f with f16, %.4f with %s\nKL %.5f, the same first choice %.2f%%, "
               "over %d tokens\n",
               f16, reduced, KvTypeName(flags.model.kv_type), result->kl, 100 * result->top1,
               result->num_positions));
  }
  return kExitOk;
}

int Perplexity(const PerplexityFlags& flags) {
  const int window = flags.model.context_length;
  const Result<std::string> text = ReadText(flags.file);
  if (!text) return Fail(text.error());
  if (flags.compare_kv) return CompareKvTypes(flags, *text);
  const Result<LoadedModel> model =
      LoadModel(flags.model, [](EngineOptions& options) { options.max_sequences = 1; });
  if (!model) return Fail(model.error());
  Engine& engine = model->backend->engine();
  if (!model->backend->card().can_generate)
    return Fail(model->backend->card().id + " is an embedding model; it predicts no text");
  std::vector<TokenId> tokens = engine.tokenizer().Encode(*text, /*add_special=*/true);
  const auto num_tokens = static_cast<int64_t>(tokens.size());
  int64_t num_windows = num_tokens / window;
  if (num_windows == 0) {
    return Fail(flags.file + " has " + std::to_string(num_tokens) + " tokens, a window needs " +
                std::to_string(window) + ": take a longer text or a smaller --context");
  }
  if (flags.max_windows > 0) num_windows = std::min<int64_t>(num_windows, flags.max_windows);
  ProgressBar bar("Scoring");
  const Result<ScoreSum> sum =
      ScoreWindows(engine, std::move(tokens), window, static_cast<int>(num_windows),
                   [&bar](double done) { bar.Update(done); });
  bar.Clear();
  if (!sum) return Fail(sum.error());
  if (flags.json) {
    PrintJson({{"model", model->backend->card().id},
               {"perplexity", sum->Perplexity()},
               {"standard_error", sum->StandardError()},
               {"mean_nll", sum->MeanNll()},
               {"tokens_scored", sum->count()},
               {"tokens", num_tokens},
               {"windows", num_windows},
               {"context", window}});
  } else {
    Print(Format("perplexity %.4f +- %.4f\n%lld tokens scored, in %lld windows of %d\n",
                 sum->Perplexity(), sum->StandardError(), static_cast<long long>(sum->count()),
                 static_cast<long long>(num_windows), window));
  }
  return kExitOk;
}

}  // namespace

void AddPerplexity(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "perplexity", "Measure how well a model predicts a text (lower is better)");
  const auto flags = std::make_shared<PerplexityFlags>();
  flags->model.context_length = kDefaultWindow;
  AddModelFlag(*command, flags->model);
  AddThreadsFlag(*command, flags->model);
  AddPrecisionFlags(*command, flags->model);
  command->add_option("-f,--file", flags->file, "The text; - reads standard input")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("-c,--context", flags->model.context_length,
                   "Tokens of a window; the second half of each is scored")
      ->check(CLI::Range(4, 1 << 20).description(""))
      ->capture_default_str();
  command->add_option("--windows", flags->max_windows, "Stop after this many; 0: the whole text")
      ->check(CLI::Range(0, 1 << 30).description(""))
      ->capture_default_str();
  command->add_flag("--compare-kv", flags->compare_kv,
                    "Compare --kv-type with f16 over the first window instead");
  command->add_flag("--json", flags->json,
                    "One JSON object: perplexity, standard_error, tokens_scored");
  AddExamples(*command,
              "  hearth perplexity --file wiki.test.raw\n"
              "  hearth perplexity --model model.gguf --file book.txt --context 1024 --json\n"
              "  hearth perplexity --file book.txt --context 4096 --kv-type int4 --compare-kv");
  command->callback([&action, flags] { action = [flags] { return Perplexity(*flags); }; });
}

}  // namespace hearth
