#pragma once
// A suite: items, how each is put to a model, and what the answer is worth.
// Threads: Run is safe from many threads for different items.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/json.h"
#include "eval/models/answerer.h"

namespace hearth::eval {

// What one item came to; one line of items.jsonl.
struct ItemResult {
  std::string suite;
  std::string id;
  std::string category;  // a task of BBH, a topic; empty: the suite has none
  std::string outcome;   // "right", "wrong", "timeout", ...: failures are counted by it
  // 0 or 1 for rates. Nothing: it could not be judged and does not count.
  std::optional<double> score;
  std::string question;  // as it was put
  std::string answer;
  std::string found;  // what the scorer took from the answer
  std::string expected;
  std::string detail;  // why: an exception, a judge's words
  std::map<std::string, double> figures;
  int prompt_tokens = 0;
  int completion_tokens = 0;
  double seconds = 0;
};
Json ToJson(const ItemResult& item);
// Errors: kCorrupt.
Result<ItemResult> ItemFromJson(const Json& json);

enum class Measure {
  kRate,        // the share of items with score 1
  kMean,        // the mean score
  kPerplexity,  // exp of the mean score, which is a mean negative log-probability
};

struct SuiteInfo {
  std::string name;
  std::string title;
  Measure measure = Measure::kRate;
  bool higher_is_better = true;
  // Of data, prompts and rules: runs are comparable where it is the same.
  std::string fingerprint;
  int max_parallel = 0;  // 0: no limit of its own
};

class Suite {
 public:
  virtual ~Suite() = default;
  virtual const SuiteInfo& info() const = 0;
  virtual size_t size() const = 0;
  virtual std::string id(size_t item) const = 0;
  // Errors: what has nothing to do with the model's quality (it cannot be reached, the sandbox
  // cannot be set up, kCancelled): the item is not finished then.
  virtual Result<ItemResult> Run(size_t item, Answerer& model) const = 0;
};

// What a scorer says of an answer.
struct Scored {
  std::string outcome;
  std::optional<double> score;
  std::string found;
  std::string expected;
  std::string detail;
  std::map<std::string, double> figures;
};

// Suites of one question and one answer.
class QuestionSuite : public Suite {
 public:
  Result<ItemResult> Run(size_t item, Answerer& model) const final;

 protected:
  virtual Question Ask(size_t item, const Answerer& model) const = 0;
  virtual Result<Scored> Score(size_t item, const std::string& answer) const = 0;
  virtual std::string category(size_t) const { return ""; }
};

}  // namespace hearth::eval
