#include "eval/models/endpoint_answerer.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "eval/json.h"
#include "eval/scorers/text.h"

namespace hearth::eval {
namespace {

constexpr auto kPausePoll = std::chrono::milliseconds(50);
constexpr int kMaxPauseMs = 30'000;

// The server's own words, short.
std::string ErrorText(const HttpReply& reply) {
  const std::string status = "status " + std::to_string(reply.status);
  const Result<Json> json = ParseJson(reply.body);
  if (json && json->is_object() && json->contains("error")) {
    const Json& error = (*json)["error"];
    if (error.is_object() && error.contains("message") && error["message"].is_string())
      return status + ": " + Shorten(error["message"].get<std::string>(), 300);
  }
  return status + ": " + Shorten(reply.body, 300);
}

int IntField(const Json& object, const char* field) {
  return object.is_object() && object.contains(field) && object[field].is_number_integer()
             ? object[field].get<int>()
             : 0;
}

std::string TextField(const Json& object, const char* field) {
  return object.is_object() && object.contains(field) && object[field].is_string()
             ? object[field].get<std::string>()
             : "";
}

// As a model's template would have written them.
std::string ToolCallText(const Json& calls) {
  std::string text;
  for (const Json& call : calls) {
    if (!call.is_object() || !call.contains("function")) continue;
    Json shown = {{"name", TextField(call["function"], "name")}};
    const std::string arguments = TextField(call["function"], "arguments");
    const Result<Json> parsed = ParseJson(arguments);
    shown["arguments"] = parsed ? *parsed : Json(arguments);
    text += "\n<tool_call>\n" + JsonText(shown) + "\n</tool_call>";
  }
  return text;
}

}  // namespace

std::string ChatRequestJson(const std::string& model, const Question& question) {
  Json messages = Json::array();
  for (const ChatMessage& message : question.prompt.messages)
    messages.push_back({{"role", message.role}, {"content", message.content.value_or("")}});
  Json request = {{"model", model},
                  {"messages", std::move(messages)},
                  {"max_tokens", question.max_tokens},
                  {"temperature", question.temperature},
                  {"seed", question.seed}};
  if (!question.prompt.tools_json.empty()) {
    if (const Result<Json> tools = ParseJson(question.prompt.tools_json)) request["tools"] = *tools;
  }
  return JsonText(request);
}

Result<ModelAnswer> ParseChatReply(std::string_view body) {
  const Result<Json> json = ParseJson(body);
  if (!json || !json->is_object() || !json->contains("choices") || !(*json)["choices"].is_array() ||
      (*json)["choices"].empty() || !(*json)["choices"][0].is_object() ||
      !(*json)["choices"][0].contains("message")) {
    return MakeError(ErrorCode::kCorrupt,
                     "the reply has no choices[0].message: " + Shorten(body, 200));
  }
  const Json& choice = (*json)["choices"][0];
  const Json& message = choice["message"];
  ModelAnswer answer;
  answer.text = TextField(message, "content");
  if (message.is_object() && message.contains("tool_calls") && message["tool_calls"].is_array())
    answer.text += ToolCallText(message["tool_calls"]);
  answer.cut_off = TextField(choice, "finish_reason") == "length";
  if (json->contains("usage")) {
    answer.prompt_tokens = IntField((*json)["usage"], "prompt_tokens");
    answer.completion_tokens = IntField((*json)["usage"], "completion_tokens");
  }
  return answer;
}

Result<std::unique_ptr<EndpointAnswerer>> EndpointAnswerer::Create(EndpointOptions options,
                                                                   StopCheck stop) {
  HEARTH_ASSIGN_OR_RETURN(HttpUrl url, ParseHttpUrl(options.base_url));
  return std::unique_ptr<EndpointAnswerer>(
      new EndpointAnswerer(std::move(options), std::move(url), std::move(stop)));
}

Result<ModelAnswer> EndpointAnswerer::Ask(const Question& question) {
  const std::string body = ChatRequestJson(options_.model, question);
  HttpPostOptions post;
  post.bearer_token = options_.api_key;
  post.timeout_ms = options_.timeout_ms;
  Error last;
  for (int attempt = 0; attempt <= options_.num_retries; ++attempt) {
    const int pause_ms =
        attempt == 0 ? 0 : std::min(kMaxPauseMs, options_.first_pause_ms << (attempt - 1));
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(pause_ms);
    do {
      if (stop_ && stop_()) return MakeError(ErrorCode::kCancelled, "stopped");
      if (pause_ms > 0) std::this_thread::sleep_for(kPausePoll);
    } while (std::chrono::steady_clock::now() < until);
    const Result<HttpReply> reply = HttpPost(url_, "/chat/completions", body, post);
    if (!reply) {
      last = reply.error();
      if (last.code != ErrorCode::kUnavailable && last.code != ErrorCode::kIo) break;
      continue;
    }
    if (reply->status == 200) return ParseChatReply(reply->body);
    last = {ErrorCode::kUnavailable, options_.base_url + ": " + ErrorText(*reply)};
    if (reply->status == 400 || reply->status == 413 || reply->status == 422) {
      ModelAnswer answer;
      answer.refused = last.message;
      return answer;
    }
    if (reply->status == 401 || reply->status == 403) last.code = ErrorCode::kPermission;
    if (reply->status == 404) last.code = ErrorCode::kNotFound;
    if (reply->status != 429 && reply->status < 500) break;
  }
  return tl::unexpected(last);
}

}  // namespace hearth::eval
