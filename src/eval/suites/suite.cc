#include "eval/suites/suite.h"

#include <chrono>

namespace hearth::eval {
namespace {

std::string TextOr(const Json& json, const char* field) {
  const auto found = json.find(field);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

int IntOr(const Json& json, const char* field) {
  const auto found = json.find(field);
  return found != json.end() && found->is_number_integer() ? found->get<int>() : 0;
}

}  // namespace

Json ToJson(const ItemResult& item) {
  Json json = {{"suite", item.suite}, {"id", item.id}};
  if (!item.category.empty()) json["category"] = item.category;
  json["outcome"] = item.outcome;
  json["score"] = item.score ? Json(*item.score) : Json(nullptr);
  if (!item.found.empty()) json["found"] = item.found;
  if (!item.expected.empty()) json["expected"] = item.expected;
  if (!item.detail.empty()) json["detail"] = item.detail;
  if (!item.figures.empty()) json["figures"] = item.figures;
  json["question"] = item.question;
  json["answer"] = item.answer;
  json["prompt_tokens"] = item.prompt_tokens;
  json["completion_tokens"] = item.completion_tokens;
  json["seconds"] = item.seconds;
  return json;
}

Result<ItemResult> ItemFromJson(const Json& json) {
  ItemResult item;
  HEARTH_ASSIGN_OR_RETURN(item.suite, StringField(json, "suite", "an item"));
  HEARTH_ASSIGN_OR_RETURN(item.id, StringField(json, "id", "an item"));
  HEARTH_ASSIGN_OR_RETURN(item.outcome, StringField(json, "outcome", "item " + item.id));
  const auto score = json.find("score");
  if (score == json.end() || !(score->is_number() || score->is_null()))
    return MakeError(ErrorCode::kCorrupt, "item " + item.id + " has no score");
  if (score->is_number()) item.score = score->get<double>();
  item.category = TextOr(json, "category");
  item.question = TextOr(json, "question");
  item.answer = TextOr(json, "answer");
  item.found = TextOr(json, "found");
  item.expected = TextOr(json, "expected");
  item.detail = TextOr(json, "detail");
  item.prompt_tokens = IntOr(json, "prompt_tokens");
  item.completion_tokens = IntOr(json, "completion_tokens");
  if (const auto seconds = json.find("seconds"); seconds != json.end() && seconds->is_number())
    item.seconds = seconds->get<double>();
  if (const auto figures = json.find("figures"); figures != json.end() && figures->is_object()) {
    for (const auto& [name, value] : figures->items())
      if (value.is_number()) item.figures[name] = value.get<double>();
  }
  return item;
}

Result<ItemResult> QuestionSuite::Run(size_t item, Answerer& model) const {
  const auto start = std::chrono::steady_clock::now();
  const Question question = Ask(item, model);
  ItemResult result;
  result.suite = info().name;
  result.id = id(item);
  result.category = category(item);
  for (const ChatMessage& message : question.prompt.messages) {
    if (!result.question.empty()) result.question += "\n\n";
    if (message.role != "user") result.question += "[" + message.role + "] ";
    result.question += message.content.value_or("");
  }
  HEARTH_ASSIGN_OR_RETURN(const ModelAnswer answer, model.Ask(question));
  result.answer = answer.text;
  result.prompt_tokens = answer.prompt_tokens;
  result.completion_tokens = answer.completion_tokens;
  if (!answer.refused.empty()) {
    result.outcome = "refused";
    result.score = 0;
    result.detail = answer.refused;
  } else {
    HEARTH_ASSIGN_OR_RETURN(Scored scored, Score(item, answer.text));
    result.outcome = std::move(scored.outcome);
    result.score = scored.score;
    result.found = std::move(scored.found);
    result.expected = std::move(scored.expected);
    result.detail = std::move(scored.detail);
    result.figures = std::move(scored.figures);
    // Whatever else is wrong with half an answer, this is why.
    if (answer.cut_off && result.score == 0.0) {
      result.detail = result.outcome + (result.detail.empty() ? "" : ": ") + result.detail;
      result.outcome = "cut_off";
    }
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace hearth::eval
