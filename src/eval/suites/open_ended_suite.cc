// Open questions with a judge: grades of 1 to 10, or, against the answers of an earlier run, which
// of two is better, asked twice with the answers swapped.
// Source: Zheng et al., arXiv 2306.05685 (position bias, and the remedy); questions of FastChat's
// vicuna_bench.

#include <chrono>

#include "eval/fingerprint.h"
#include "eval/scorers/judge.h"
#include "eval/suites/suite_data.h"

namespace hearth::eval {
namespace {

constexpr const char* kRules = "judge-1";
constexpr int kMaxTokens = 1024;
constexpr int kJudgeTokens = 512;

struct Item {
  std::string id, category, question;
};

class OpenEnded : public Suite {
 public:
  OpenEnded(SuiteInfo info, const SuiteOptions& options, std::vector<Item> items)
      : info_(std::move(info)), options_(options), items_(std::move(items)) {}

  const SuiteInfo& info() const override { return info_; }
  size_t size() const override { return items_.size(); }
  std::string id(size_t item) const override { return items_[item].id; }

  Result<ItemResult> Run(size_t item, Answerer& model) const override {
    const auto start = std::chrono::steady_clock::now();
    const Item& it = items_[item];
    ItemResult result;
    result.suite = info_.name;
    result.id = it.id;
    result.category = it.category;
    result.question = it.question;
    HEARTH_ASSIGN_OR_RETURN(const ModelAnswer answer,
                            model.Ask(UserQuestion(options_, it.question, kMaxTokens)));
    result.answer = answer.text;
    result.prompt_tokens = answer.prompt_tokens;
    result.completion_tokens = answer.completion_tokens;
    Answerer& judge = options_.judge != nullptr ? *options_.judge : model;
    if (!answer.refused.empty()) {
      result.outcome = "refused";
      result.detail = answer.refused;
      result.score = pairs() ? 0 : 1;  // the lowest grade
    } else {
      HEARTH_RETURN_IF_ERROR(pairs() ? JudgePair(it, judge, &result) : Grade(it, judge, &result));
    }
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
  }

 private:
  bool pairs() const { return !options_.against.empty(); }

  Result<std::string> AskJudge(Answerer& judge, std::string prompt) const {
    Question question;
    ChatMessage message;
    message.role = "user";
    message.content = std::move(prompt);
    question.prompt.messages.push_back(std::move(message));
    question.max_tokens = kJudgeTokens;
    HEARTH_ASSIGN_OR_RETURN(ModelAnswer answer, judge.Ask(question));
    return answer.refused.empty() ? std::move(answer.text) : "(refused: " + answer.refused + ")";
  }

  Status Grade(const Item& item, Answerer& judge, ItemResult* result) const {
    HEARTH_ASSIGN_OR_RETURN(result->detail,
                            AskJudge(judge, GradePrompt(item.question, result->answer)));
    result->score = ParseGrade(result->detail);
    result->outcome = result->score ? "graded" : "no_verdict";
    return {};
  }

  Status JudgePair(const Item& item, Answerer& judge, ItemResult* result) const {
    const std::string& other = options_.against.at(item.id);
    HEARTH_ASSIGN_OR_RETURN(const std::string straight,
                            AskJudge(judge, PairPrompt(item.question, result->answer, other)));
    HEARTH_ASSIGN_OR_RETURN(const std::string swapped,
                            AskJudge(judge, PairPrompt(item.question, other, result->answer)));
    result->detail = "as answer A: " + straight + "\n\nas answer B: " + swapped;
    result->expected = other;
    const std::optional<Preference> first = ParsePreference(straight),
                                    second = ParsePreference(swapped);
    if (!first || !second) {
      result->outcome = "no_verdict";
      return {};
    }
    result->score = PairScore(*first, *second);
    // The same side twice is the side's merit, not the answer's.
    result->figures["position_bias"] = *first == *second && *first != Preference::kTie ? 1 : 0;
    result->outcome = *result->score == 1 ? "win" : (*result->score == 0 ? "loss" : "tie");
    return {};
  }

  SuiteInfo info_;
  SuiteOptions options_;
  std::vector<Item> items_;
};

}  // namespace

Result<std::unique_ptr<Suite>> MakeVicunaBench(const SuiteOptions& options) {
  constexpr const char* kFile = "vicuna_bench.jsonl";
  HEARTH_ASSIGN_OR_RETURN(const DataFile file, ReadDataLines(options, kFile));
  std::vector<Item> all;
  std::vector<std::string> categories;
  for (const Json& row : file.rows) {
    Item item;
    if (!row.contains("question_id") || !row.contains("turns") || !row["turns"].is_array() ||
        row["turns"].empty() || !row["turns"][0].is_string()) {
      return MakeError(ErrorCode::kCorrupt,
                       std::string(kFile) + ": a row without question_id and turns");
    }
    item.id = JsonText(row["question_id"]);
    item.question = row["turns"][0].get<std::string>();
    HEARTH_ASSIGN_OR_RETURN(item.category, StringField(row, "category", kFile));
    categories.push_back(item.category);
    all.push_back(std::move(item));
  }
  std::vector<Item> items;
  for (const size_t row : SpreadOver(categories, options.limit)) {
    if (!options.against.empty() && !options.against.contains(all[row].id)) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "the run to compare with has no answer to vicuna_bench " + all[row].id);
    }
    items.push_back(all[row]);
  }
  SuiteInfo info;
  info.name = "vicuna_bench";
  info.title = options.against.empty() ? "Open questions (vicuna_bench), judged 1 to 10"
                                       : "Open questions (vicuna_bench), judged in pairs";
  info.measure = Measure::kMean;
  std::string against;
  for (const auto& [id, answer] : options.against) against += id + answer;
  info.fingerprint = Fingerprint(file.fingerprint + kRules + GradePrompt("", "") +
                                 PairPrompt("", "", "") + against);
  return std::make_unique<OpenEnded>(std::move(info), options, std::move(items));
}

}  // namespace hearth::eval
