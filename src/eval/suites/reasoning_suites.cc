// GSM8K and BIG-Bench Hard: the model thinks in words and ends with an answer, which alone counts.
// Zero-shot: no worked examples stand before the question, so figures are not those of papers that
// show three (BBH) or four to eight (GSM8K).
// Source: Cobbe et al., arXiv 2110.14168; Suzgun et al., arXiv 2210.09261.

#include <algorithm>
#include <filesystem>

#include "base/mapped_file.h"
#include "eval/fingerprint.h"
#include "eval/scorers/final_answer.h"
#include "eval/suites/suite_data.h"

namespace hearth::eval {
namespace {

constexpr const char* kGsm8kRules = "gsm8k-1";
constexpr const char* kBbhRules = "bbh-1";
constexpr int kGsm8kTokens = 768;
constexpr int kBbhTokens = 768;

constexpr const char* kGsm8kPrompt =
    "\n\nThink step by step. End with a line of the form \"The answer is N.\", where N is a number "
    "without a unit.";

Scored Compare(const std::optional<std::string>& found, const std::string& expected) {
  Scored scored;
  scored.expected = expected;
  scored.found = found.value_or("");
  scored.score = found == expected ? 1 : 0;
  scored.outcome = !found ? "no_answer" : (found == expected ? "right" : "wrong");
  return scored;
}

class Gsm8k : public QuestionSuite {
 public:
  struct Item {
    std::string id, question, expected;
  };
  Gsm8k(SuiteInfo info, const SuiteOptions& options, std::vector<Item> items)
      : info_(std::move(info)), options_(options), items_(std::move(items)) {}

  const SuiteInfo& info() const override { return info_; }
  size_t size() const override { return items_.size(); }
  std::string id(size_t item) const override { return items_[item].id; }

 protected:
  Question Ask(size_t item, const Answerer&) const override {
    return UserQuestion(options_, items_[item].question + kGsm8kPrompt, kGsm8kTokens);
  }
  Result<Scored> Score(size_t item, const std::string& answer) const override {
    return Compare(FindNumber(answer), items_[item].expected);
  }

 private:
  SuiteInfo info_;
  SuiteOptions options_;
  std::vector<Item> items_;
};

// How an answer of each kind should end.
std::string BbhEnding(ChoiceKind kind) {
  std::string form;
  switch (kind) {
    case ChoiceKind::kOption:
      form = "(X).\", where (X) is the letter of one of the options";
      break;
    case ChoiceKind::kBoolean:
      form = "X.\", where X is True or False";
      break;
    case ChoiceKind::kYesNo:
      form = "X.\", where X is Yes or No";
      break;
    case ChoiceKind::kNumber:
      form = "X.\", where X is a number";
      break;
  }
  return "\n\nThink step by step. End with a line of the form \"The answer is " + form + ".";
}

class Bbh : public QuestionSuite {
 public:
  struct Item {
    std::string id, task, question, expected;
    ChoiceKind kind = ChoiceKind::kNumber;
  };
  Bbh(SuiteInfo info, const SuiteOptions& options, std::vector<Item> items)
      : info_(std::move(info)), options_(options), items_(std::move(items)) {}

  const SuiteInfo& info() const override { return info_; }
  size_t size() const override { return items_.size(); }
  std::string id(size_t item) const override { return items_[item].id; }

 protected:
  std::string category(size_t item) const override { return items_[item].task; }
  Question Ask(size_t item, const Answerer&) const override {
    return UserQuestion(options_, items_[item].question + BbhEnding(items_[item].kind), kBbhTokens);
  }
  Result<Scored> Score(size_t item, const std::string& answer) const override {
    const Item& it = items_[item];
    return Compare(FindChoice(answer, it.kind, it.question), it.expected);
  }

 private:
  SuiteInfo info_;
  SuiteOptions options_;
  std::vector<Item> items_;
};

Status ReadTask(const std::string& path, const std::string& task, std::vector<Bbh::Item>* items) {
  HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const Result<Json> json =
      ParseJson({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
  if (!json || !json->is_object() || !json->contains("examples") ||
      !(*json)["examples"].is_array()) {
    return MakeError(ErrorCode::kCorrupt, path + " has no list \"examples\"");
  }
  int number = 0;
  for (const Json& example : (*json)["examples"]) {
    Bbh::Item item;
    item.task = task;
    item.id = task + "/" + std::to_string(number++);
    HEARTH_ASSIGN_OR_RETURN(item.question, StringField(example, "input", path + ", " + item.id));
    HEARTH_ASSIGN_OR_RETURN(item.expected, StringField(example, "target", path + ", " + item.id));
    item.kind = KindOfTarget(item.expected);
    items->push_back(std::move(item));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Suite>> MakeGsm8k(const SuiteOptions& options) {
  constexpr const char* kFile = "gsm8k_test_a.jsonl";
  HEARTH_ASSIGN_OR_RETURN(const DataFile file, ReadDataLines(options, kFile));
  std::vector<Gsm8k::Item> items;
  for (const Json& row : file.rows) {
    if (options.limit > 0 && items.size() == static_cast<size_t>(options.limit)) break;
    Gsm8k::Item item;
    item.id = "test/" + std::to_string(items.size());
    HEARTH_ASSIGN_OR_RETURN(item.question, StringField(row, "question", kFile));
    HEARTH_ASSIGN_OR_RETURN(const std::string answer, StringField(row, "answer", kFile));
    const std::optional<std::string> gold = GoldNumber(answer);
    if (!gold) {
      return MakeError(ErrorCode::kCorrupt,
                       std::string(kFile) + ", " + item.id + ": no number behind ####");
    }
    item.expected = *gold;
    items.push_back(std::move(item));
  }
  SuiteInfo info;
  info.name = "gsm8k";
  info.title = "GSM8K, first half of the test set, zero-shot";
  info.fingerprint = Fingerprint(file.fingerprint + kGsm8kPrompt + kGsm8kRules);
  return std::make_unique<Gsm8k>(std::move(info), options, std::move(items));
}

Result<std::unique_ptr<Suite>> MakeBbh(const SuiteOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(const std::string folder, DataPath(options, "bbh"));
  std::error_code error;
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().extension() == ".json") paths.push_back(entry.path().string());
  if (paths.empty()) return MakeError(ErrorCode::kNotFound, "there are no tasks in " + folder);
  std::ranges::sort(paths);
  std::vector<Bbh::Item> all;
  std::string fingerprints;
  for (const std::string& path : paths) {
    HEARTH_RETURN_IF_ERROR(ReadTask(path, std::filesystem::path(path).stem().string(), &all));
    HEARTH_ASSIGN_OR_RETURN(const std::string fingerprint, FileFingerprint(path));
    fingerprints += fingerprint;
  }
  std::vector<std::string> tasks;
  for (const Bbh::Item& item : all) tasks.push_back(item.task);
  std::vector<Bbh::Item> items;
  for (const size_t row : SpreadOver(tasks, options.limit)) items.push_back(all[row]);
  SuiteInfo info;
  info.name = "bbh";
  info.title = "BIG-Bench Hard, " + std::to_string(paths.size()) + " tasks, zero-shot";
  info.fingerprint = Fingerprint(fingerprints + BbhEnding(ChoiceKind::kOption) + kBbhRules);
  return std::make_unique<Bbh>(std::move(info), options, std::move(items));
}

}  // namespace hearth::eval
