// hearth perplexity: how well a model predicts a text, counted as llama-perplexity counts it, so
// that figures compare.

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "apps/hearth/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/score_sum.h"
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

// Windows of `window` tokens side by side; a rest at the end is left out. Of each, the tokens
// behind the middle are predicted from all before them, the window's first token replaced by BOS
// where the tokenizer adds one.
Result<ScoreSum> ScoreWindows(Engine& engine, std::vector<TokenId> tokens, int window,
                              int num_windows) {
  const Tokenizer& tokenizer = engine.tokenizer();
  ScoreSum sum;
  ProgressBar bar("Scoring");
  for (int i = 0; i < num_windows; ++i) {
    bar.Update(static_cast<double>(i) / num_windows);
    const std::span<TokenId> slice =
        std::span(tokens).subspan(static_cast<size_t>(i) * window, window);
    if (tokenizer.adds_bos() && tokenizer.bos()) slice[0] = *tokenizer.bos();
    HEARTH_ASSIGN_OR_RETURN(const std::vector<float> scores, engine.Score(slice, window / 2 + 1));
    for (const float score : scores) sum.Add(score);
  }
  return sum;
}

// What the KV type changes, over the first window of the text.
int CompareKvTypes(const PerplexityFlags& flags, const std::string& text) {
  const Result<std::string> path = ResolveModelPath(flags.model.model);
  if (!path) return Fail(path.error());
  const Result<KvAgreement> result =
      CompareKv(*path, EngineOptionsOf(flags.model), text, flags.model.context_length);
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
  const Result<ScoreSum> sum =
      ScoreWindows(engine, std::move(tokens), window, static_cast<int>(num_windows));
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
