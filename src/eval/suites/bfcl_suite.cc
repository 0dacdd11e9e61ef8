// Function calling: the questions of the Berkeley Function Calling Leaderboard with one function,
// with several to choose from, and with none that fits, where a call is a mistake. The functions go
// in through the chat template where it has a place for tools, else in a system prompt.
// Source: Patil et al., https://gorilla.cs.berkeley.edu/leaderboard.html, data v4.

#include <algorithm>

#include "eval/fingerprint.h"
#include "eval/scorers/function_check.h"
#include "eval/suites/suite_data.h"

namespace hearth::eval {
namespace {

constexpr const char* kRules = "bfcl-1";
constexpr int kMaxTokens = 384;

constexpr const char* kSystemPrompt =
    "You are given a question and a list of functions. Call the one function that answers the "
    "question: reply with nothing but [function_name(parameter=value, ...)] in Python's syntax. If "
    "no function fits, or the question does not say what a function requires, explain that in "
    "words and call nothing.\n\nThe functions, in JSON:\n";

// The leaderboard's types are Python's; tools are described in JSON schema.
Json ToSchema(const Json& description) {
  Json schema = description;
  if (!schema.is_object()) return schema;
  if (schema.contains("type") && schema["type"].is_string()) {
    const std::string type = schema["type"].get<std::string>();
    if (type == "dict") schema["type"] = "object";
    if (type == "float") schema["type"] = "number";
    if (type == "tuple") schema["type"] = "array";
    if (type == "any") schema["type"] = "string";
  }
  if (schema.contains("items")) schema["items"] = ToSchema(schema["items"]);
  if (schema.contains("properties") && schema["properties"].is_object()) {
    for (auto& [name, property] : schema["properties"].items()) property = ToSchema(property);
  }
  return schema;
}

struct Item {
  std::string id, category, question;
  Json functions;
  Json accepted;  // null: no call is right
};

class Bfcl : public QuestionSuite {
 public:
  Bfcl(SuiteInfo info, const SuiteOptions& options, std::vector<Item> items)
      : info_(std::move(info)), options_(options), items_(std::move(items)) {}

  const SuiteInfo& info() const override { return info_; }
  size_t size() const override { return items_.size(); }
  std::string id(size_t item) const override { return items_[item].id; }

 protected:
  std::string category(size_t item) const override { return items_[item].category; }

  Question Ask(size_t item, const Answerer& model) const override {
    const Item& it = items_[item];
    Question question = UserQuestion(options_, it.question, kMaxTokens);
    if (options_.tools_in_prompt || !model.shows_tools()) {
      ChatMessage system;
      system.role = "system";
      system.content = kSystemPrompt + JsonText(it.functions);
      question.prompt.messages.insert(question.prompt.messages.begin(), std::move(system));
      return question;
    }
    Json tools = Json::array();
    for (const Json& function : it.functions) {
      Json described = function;
      described["parameters"] = ToSchema(function.value("parameters", Json::object()));
      tools.push_back({{"type", "function"}, {"function", std::move(described)}});
    }
    question.prompt.tools_json = JsonText(tools);
    return question;
  }

  Result<Scored> Score(size_t item, const std::string& answer) const override {
    const Item& it = items_[item];
    const std::vector<FunctionCall> calls = ParseFunctionCalls(answer);
    Scored scored;
    for (const FunctionCall& call : calls) {
      scored.found +=
          (scored.found.empty() ? "" : "\n") + call.name + " " + JsonText(call.arguments);
    }
    if (it.accepted.is_null()) {
      scored.expected = "no call";
      scored.outcome = calls.empty() ? "right" : "needless_call";
      scored.score = calls.empty() ? 1 : 0;
      return scored;
    }
    scored.expected = JsonText(it.accepted);
    if (calls.empty()) {
      scored.outcome = "no_call";
      scored.score = 0;
      return scored;
    }
    const FunctionVerdict verdict = CheckCall(calls, it.functions, it.accepted);
    scored.outcome = verdict.right ? "right" : "wrong_" + verdict.kind;
    scored.score = verdict.right ? 1 : 0;
    scored.detail = verdict.detail;
    return scored;
  }

 private:
  SuiteInfo info_;
  SuiteOptions options_;
  std::vector<Item> items_;
};

// Of conversations of one turn, which all of these are.
Result<std::string> UserText(const Json& row, const std::string& what) {
  const auto turns = row.find("question");
  if (turns == row.end() || !turns->is_array() || turns->size() != 1 || !(*turns)[0].is_array() ||
      (*turns)[0].size() != 1) {
    return MakeError(ErrorCode::kCorrupt, what + " is not one question of one turn");
  }
  return StringField((*turns)[0][0], "content", what);
}

// Every function an object with a name and described parameters: the scorer counts on it.
bool AreFunctions(const Json& functions) {
  return functions.is_array() && std::ranges::all_of(functions, [](const Json& function) {
           return function.is_object() && function.contains("name") &&
                  function["name"].is_string() && function.contains("parameters") &&
                  function["parameters"].is_object();
         });
}

// One call: {NAME: {PARAMETER: [VALUE, ...]}}.
bool IsOneAcceptedCall(const Json& truth) {
  if (!truth.is_array() || truth.size() != 1 || !truth[0].is_object() || truth[0].size() != 1)
    return false;
  const Json& parameters = truth[0].begin().value();
  return parameters.is_object() &&
         std::ranges::all_of(parameters, [](const Json& values) { return values.is_array(); });
}

struct Category {
  const char* name;
  bool has_answers;
};

Status ReadCategory(const SuiteOptions& options, const Category& category, std::vector<Item>* items,
                    std::string* fingerprints) {
  const std::string file = std::string("bfcl/BFCL_v4_") + category.name + ".json";
  HEARTH_ASSIGN_OR_RETURN(const DataFile data, ReadDataLines(options, file));
  *fingerprints += data.fingerprint;
  std::map<std::string, Json> answers;
  if (category.has_answers) {
    const std::string name = std::string("bfcl/answers_") + category.name + ".json";
    HEARTH_ASSIGN_OR_RETURN(const DataFile accepted, ReadDataLines(options, name));
    *fingerprints += accepted.fingerprint;
    for (const Json& row : accepted.rows) {
      HEARTH_ASSIGN_OR_RETURN(const std::string id, StringField(row, "id", "a row of " + name));
      const auto truth = row.find("ground_truth");
      if (truth == row.end() || !IsOneAcceptedCall(*truth))
        return MakeError(ErrorCode::kCorrupt, name + ", " + id + ": not one accepted call");
      answers[id] = (*truth)[0];
    }
  }
  for (const Json& row : data.rows) {
    Item item;
    item.category = category.name;
    HEARTH_ASSIGN_OR_RETURN(item.id, StringField(row, "id", "a row of " + file));
    HEARTH_ASSIGN_OR_RETURN(item.question, UserText(row, file + ", " + item.id));
    if (!row.contains("function") || !AreFunctions(row["function"]))
      return MakeError(ErrorCode::kCorrupt, file + ", " + item.id + " has no list of functions");
    item.functions = row["function"];
    if (category.has_answers) {
      const auto answer = answers.find(item.id);
      if (answer == answers.end())
        return MakeError(ErrorCode::kCorrupt, file + ", " + item.id + " has no accepted answers");
      item.accepted = answer->second;
    }
    items->push_back(std::move(item));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Suite>> MakeBfcl(const SuiteOptions& options) {
  std::vector<Item> all;
  std::string fingerprints;
  for (const Category category : {Category{"simple_python", true}, Category{"multiple", true},
                                  Category{"irrelevance", false}}) {
    HEARTH_RETURN_IF_ERROR(ReadCategory(options, category, &all, &fingerprints));
  }
  std::vector<std::string> categories;
  for (const Item& item : all) categories.push_back(item.category);
  std::vector<Item> items;
  for (const size_t row : SpreadOver(categories, options.limit)) items.push_back(all[row]);
  SuiteInfo info;
  info.name = "bfcl";
  info.title = "Function calling (BFCL v4: simple_python, multiple, irrelevance)";
  info.fingerprint = Fingerprint(fingerprints + kSystemPrompt + kRules);
  return std::make_unique<Bfcl>(std::move(info), options, std::move(items));
}

}  // namespace hearth::eval
