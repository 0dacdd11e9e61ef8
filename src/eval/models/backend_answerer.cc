#include "eval/models/backend_answerer.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace hearth::eval {
namespace {

constexpr auto kStopPoll = std::chrono::milliseconds(100);
// Between two tries when the backend's queue is full.
constexpr auto kQueuePause = std::chrono::milliseconds(20);

struct Collected {
  std::mutex mutex;
  std::condition_variable ready;
  std::string text;
  std::vector<GeneratedToken> prompt_tokens;
  GenerateEvent last;
  bool finished = false;
};

// Runs a request to its end. The last event of the result holds the whole text.
Result<GenerateEvent> RunRequest(Backend& backend, GenerateRequest request, const StopCheck& stop) {
  const auto collected = std::make_shared<Collected>();
  const auto sink = [collected](GenerateEvent event) {
    {
      const std::lock_guard lock(collected->mutex);
      collected->text += event.text;
      if (!event.prompt_tokens.empty()) collected->prompt_tokens = std::move(event.prompt_tokens);
      if (!event.finished) return;
      collected->last = std::move(event);
      collected->finished = true;
    }
    collected->ready.notify_one();
  };
  Result<RequestId> id = backend.Generate(request, sink);
  while (!id && id.error().code == ErrorCode::kResourceExhausted) {
    if (stop && stop()) return MakeError(ErrorCode::kCancelled, "stopped");
    std::this_thread::sleep_for(kQueuePause);
    id = backend.Generate(request, sink);
  }
  if (!id) return tl::unexpected(id.error());
  std::unique_lock lock(collected->mutex);
  bool cancelled = false;
  while (!collected->finished) {
    collected->ready.wait_for(lock, kStopPoll, [&] { return collected->finished; });
    if (collected->finished || cancelled || !stop) continue;
    lock.unlock();
    cancelled = stop();
    if (cancelled) backend.Cancel(*id);
    lock.lock();
  }
  if (cancelled || collected->last.finish_reason == FinishReason::kCancelled)
    return MakeError(ErrorCode::kCancelled, "stopped");
  if (collected->last.finish_reason == FinishReason::kError) {
    return tl::unexpected(collected->last.error.value_or(
        Error{ErrorCode::kInternal, "the answer ended with an error"}));
  }
  collected->last.text = std::move(collected->text);
  collected->last.prompt_tokens = std::move(collected->prompt_tokens);
  return std::move(collected->last);
}

// Templates that know no tools leave them out silently.
bool TemplateShowsTools(const Backend& backend) {
  constexpr const char* kProbe = "hearth_probe_tool";
  ChatPrompt prompt;
  prompt.messages = {{.role = "user", .content = "hello"}};
  prompt.tools_json = std::string(R"([{"type":"function","function":{"name":")") + kProbe +
                      R"(","description":"","parameters":{"type":"object","properties":{}}}}])";
  const Result<RenderedPrompt> rendered = backend.RenderChat(prompt);
  return rendered && rendered->text.find(kProbe) != std::string::npos;
}

}  // namespace

BackendAnswerer::BackendAnswerer(Backend& backend, StopCheck stop)
    : backend_(&backend), stop_(std::move(stop)), shows_tools_(TemplateShowsTools(backend)) {}

Result<ModelAnswer> BackendAnswerer::Ask(const Question& question) {
  Result<RenderedPrompt> rendered = backend_->RenderChat(question.prompt);
  ModelAnswer answer;
  if (!rendered) {
    if (rendered.error().code != ErrorCode::kInvalidArgument)
      return tl::unexpected(rendered.error());
    answer.refused = rendered.error().message;
    return answer;
  }
  GenerateRequest request;
  request.prompt = std::move(rendered->tokens);
  request.max_tokens = question.max_tokens;
  request.sampling.temperature = question.temperature;
  request.sampling.seed = question.seed;
  Result<GenerateEvent> end = RunRequest(*backend_, std::move(request), stop_);
  if (!end) {
    if (end.error().code != ErrorCode::kInvalidArgument) return tl::unexpected(end.error());
    answer.refused = end.error().message;
    return answer;
  }
  answer.text = std::move(end->text);
  answer.cut_off = end->finish_reason == FinishReason::kLength;
  answer.prompt_tokens = end->stats.prompt_tokens;
  answer.completion_tokens = end->stats.completion_tokens;
  return answer;
}

Result<std::vector<float>> ScoreTokens(Backend& backend, std::vector<TokenId> tokens,
                                       const StopCheck& stop) {
  const size_t expected = tokens.size() - 1;
  GenerateRequest request;
  request.prompt = std::move(tokens);
  request.max_tokens = 0;
  request.prompt_logprobs = 0;
  HEARTH_ASSIGN_OR_RETURN(const GenerateEvent end, RunRequest(backend, std::move(request), stop));
  if (end.prompt_tokens.size() != expected) {
    return MakeError(ErrorCode::kInternal, std::to_string(end.prompt_tokens.size()) +
                                               " log-probabilities came back, expected " +
                                               std::to_string(expected));
  }
  std::vector<float> scores;
  for (const GeneratedToken& token : end.prompt_tokens) scores.push_back(token.sampled.logprob);
  return scores;
}

}  // namespace hearth::eval
