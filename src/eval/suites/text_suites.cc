// Suites over a text instead of questions, cut into windows of tokens: perplexity, counted as
// `hearth perplexity` does, and how far a model's next-token distributions are from a reference's.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <numeric>

#include "base/mapped_file.h"
#include "eval/fingerprint.h"
#include "eval/models/backend_answerer.h"
#include "eval/scorers/text.h"
#include "eval/suites/suite_data.h"
#include "runtime/engine/model_pair.h"

namespace hearth::eval {
namespace {

constexpr const char* kRules = "text-1";

// Without the calculator's notes: "<<16-3-4=9>>".
std::string WithoutNotes(std::string text) {
  for (size_t open; (open = text.find("<<")) != std::string::npos;) {
    const size_t close = text.find(">>", open);
    if (close == std::string::npos) break;
    text.erase(open, close + 2 - open);
  }
  return text;
}

Result<std::string> ReadText(const SuiteOptions& options) {
  if (!options.text_path.empty()) {
    HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(options.text_path));
    std::string text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    // The last newline is an editor's.
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }
  HEARTH_ASSIGN_OR_RETURN(const DataFile file, ReadDataLines(options, "gsm8k_test_a.jsonl"));
  std::string text;
  for (const Json& row : file.rows) {
    HEARTH_ASSIGN_OR_RETURN(const std::string question, StringField(row, "question", "a row"));
    HEARTH_ASSIGN_OR_RETURN(const std::string answer, StringField(row, "answer", "a row"));
    text += question + "\n" + WithoutNotes(answer) + "\n\n";
  }
  return text;
}

// Whole windows; a rest at the end is left out. The first token of each gives way to `bos`,
// what the tokenizer puts in front of a text; it may be empty.
Result<std::vector<std::vector<TokenId>>> CutWindows(const std::vector<TokenId>& tokens,
                                                     const std::vector<TokenId>& bos,
                                                     const SuiteOptions& options) {
  const auto window = static_cast<size_t>(options.window);
  size_t num = tokens.size() / window;
  if (num == 0) {
    return MakeError(ErrorCode::kInvalidArgument, "the text has " + std::to_string(tokens.size()) +
                                                      " tokens, a window needs " +
                                                      std::to_string(window));
  }
  if (options.limit > 0) num = std::min(num, static_cast<size_t>(options.limit));
  std::vector<std::vector<TokenId>> windows;
  for (size_t i = 0; i < num; ++i) {
    windows.emplace_back(tokens.begin() + static_cast<ptrdiff_t>(i * window),
                         tokens.begin() + static_cast<ptrdiff_t>((i + 1) * window));
    if (!bos.empty()) windows.back()[0] = bos[0];
  }
  return windows;
}

class WindowSuite : public Suite {
 public:
  WindowSuite(SuiteInfo info, std::vector<std::vector<TokenId>> windows)
      : info_(std::move(info)), windows_(std::move(windows)) {}

  const SuiteInfo& info() const override { return info_; }
  size_t size() const override { return windows_.size(); }
  std::string id(size_t item) const override { return "window/" + std::to_string(item); }

  Result<ItemResult> Run(size_t item, Answerer&) const override {
    const auto start = std::chrono::steady_clock::now();
    ItemResult result;
    result.suite = info_.name;
    result.id = id(item);
    result.outcome = "measured";
    result.prompt_tokens = static_cast<int>(windows_[item].size());
    HEARTH_RETURN_IF_ERROR(MeasureWindow(windows_[item], &result));
    if (!std::isfinite(result.score.value_or(0))) {
      result.outcome = "not_finite";
      result.score.reset();
    }
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
  }

 protected:
  virtual Status MeasureWindow(const std::vector<TokenId>& window, ItemResult* result) const = 0;

 private:
  SuiteInfo info_;
  std::vector<std::vector<TokenId>> windows_;
};

class Perplexity : public WindowSuite {
 public:
  Perplexity(SuiteInfo info, std::vector<std::vector<TokenId>> windows, Backend& backend,
             StopCheck stop)
      : WindowSuite(std::move(info), std::move(windows)),
        backend_(&backend),
        stop_(std::move(stop)) {}

 protected:
  Status MeasureWindow(const std::vector<TokenId>& window, ItemResult* result) const override {
    HEARTH_ASSIGN_OR_RETURN(const std::vector<float> scores, ScoreTokens(*backend_, window, stop_));
    // scores[i] is token i + 1's; what stands behind the middle is predicted from enough.
    const auto first = scores.begin() + static_cast<ptrdiff_t>(window.size() / 2);
    const double sum = std::accumulate(first, scores.end(), 0.0);
    const auto count = static_cast<double>(scores.end() - first);
    result->score = -sum / count;
    result->figures["tokens_scored"] = count;
    return {};
  }

 private:
  Backend* backend_;
  StopCheck stop_;
};

class AgreementSuite : public WindowSuite {
 public:
  AgreementSuite(SuiteInfo info, std::vector<std::vector<TokenId>> windows,
                 std::unique_ptr<ModelPair> models)
      : WindowSuite(std::move(info), std::move(windows)), models_(std::move(models)) {}

 protected:
  Status MeasureWindow(const std::vector<TokenId>& window, ItemResult* result) const override {
    const std::lock_guard lock(mutex_);
    HEARTH_ASSIGN_OR_RETURN(const KvAgreement agreement,
                            models_->Compare(window, static_cast<int>(window.size() / 2)));
    result->score = agreement.kl;
    result->figures = {{"top1_agreement", agreement.top1},
                       {"nll_reference", agreement.nll},
                       {"nll", agreement.nll_reduced},
                       {"tokens_scored", agreement.num_positions}};
    return {};
  }

 private:
  std::unique_ptr<ModelPair> models_;
  mutable std::mutex mutex_;
};

}  // namespace

Result<std::unique_ptr<Suite>> MakePerplexity(const SuiteOptions& options) {
  if (options.backend == nullptr) {
    return MakeError(ErrorCode::kUnsupported,
                     "perplexity needs the model on this machine (--model), not behind --base-url");
  }
  HEARTH_ASSIGN_OR_RETURN(const std::string text, ReadText(options));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<TokenId> special,
                          options.backend->Tokenize("", /*add_special=*/true, false));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<TokenId> tokens,
                          options.backend->Tokenize(text, /*add_special=*/true, false));
  if (options.backend->card().context_length < options.window) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "--window " + std::to_string(options.window) + " is more than " +
                         options.backend->card().id +
                         " holds: " + std::to_string(options.backend->card().context_length));
  }
  HEARTH_ASSIGN_OR_RETURN(auto windows, CutWindows(tokens, special, options));
  SuiteInfo info;
  info.name = "perplexity";
  info.title = "Perplexity, windows of " + std::to_string(options.window) + " tokens";
  info.measure = Measure::kPerplexity;
  info.higher_is_better = false;
  info.fingerprint = Fingerprint(Fingerprint(text) + std::to_string(options.window) + kRules);
  return std::make_unique<Perplexity>(std::move(info), std::move(windows), *options.backend,
                                      options.stop);
}

Result<std::unique_ptr<Suite>> MakeAgreement(const SuiteOptions& options) {
  if (options.reference_path.empty())
    return MakeError(ErrorCode::kInvalidArgument, "kl compares with a model: --reference FILE");
  if (options.model_path.empty()) {
    return MakeError(ErrorCode::kUnsupported,
                     "kl needs the model on this machine (--model), not behind --base-url");
  }
  HEARTH_ASSIGN_OR_RETURN(const std::string text, ReadText(options));
  HEARTH_ASSIGN_OR_RETURN(const std::string reference, FileFingerprint(options.reference_path));
  HEARTH_ASSIGN_OR_RETURN(
      std::unique_ptr<ModelPair> models,
      ModelPair::Load(options.reference_path, options.model_path, options.engine));
  const std::vector<TokenId> tokens = models->Encode(text);
  const std::vector<TokenId> special = models->Encode("");
  HEARTH_ASSIGN_OR_RETURN(auto windows, CutWindows(tokens, special, options));
  SuiteInfo info;
  info.name = "kl";
  info.title = "KL divergence from the reference (nats per token), windows of " +
               std::to_string(options.window) + " tokens";
  info.measure = Measure::kMean;
  info.higher_is_better = false;
  info.max_parallel = 1;
  info.fingerprint =
      Fingerprint(Fingerprint(text) + reference + std::to_string(options.window) + kRules);
  return std::make_unique<AgreementSuite>(std::move(info), std::move(windows), std::move(models));
}

}  // namespace hearth::eval
