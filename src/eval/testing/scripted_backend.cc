#include "eval/testing/scripted_backend.h"

#include <algorithm>
#include <chrono>

namespace hearth::testing {

ScriptedBackend::ScriptedBackend(Script script) : script_(std::move(script)) {
  card_.id = "scripted";
  card_.architecture = "none";
  card_.context_length = 100'000;
  card_.vocab_size = 256;
  card_.has_chat_template = true;
}

ScriptedBackend::~ScriptedBackend() {
  closing_ = true;
  for (std::thread& thread : threads_) thread.join();
}

Result<std::vector<TokenId>> ScriptedBackend::Tokenize(std::string_view text, bool, bool) const {
  std::vector<TokenId> tokens;
  for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
  return tokens;
}

Result<std::string> ScriptedBackend::Detokenize(std::span<const TokenId> tokens) const {
  std::string text;
  for (const TokenId id : tokens) text += TokenBytes(id);
  return text;
}

std::string ScriptedBackend::TokenBytes(TokenId id) const {
  return std::string(1, static_cast<char>(id));
}

Result<RenderedPrompt> ScriptedBackend::RenderChat(const ChatPrompt& prompt) const {
  RenderedPrompt rendered;
  if (show_tools) rendered.text = prompt.tools_json;
  for (const ChatMessage& message : prompt.messages) {
    if (message.content == "refuse")
      return MakeError(ErrorCode::kInvalidArgument, "the template refuses");
    rendered.text += message.role + ": " + message.content.value_or("") + "\n";
  }
  rendered.tokens = *Tokenize(rendered.text, true, false);
  return rendered;
}

Result<RequestId> ScriptedBackend::Generate(GenerateRequest request, EventSink sink) {
  const std::lock_guard lock(mutex_);
  if (running_ >= max_running) return MakeError(ErrorCode::kResourceExhausted, "the queue is full");
  if (fail_after >= 0 && num_requests_ >= fail_after)
    return MakeError(ErrorCode::kUnavailable, "the model is gone");
  const auto id = static_cast<RequestId>(++num_requests_);
  const int running = ++running_;
  int most = most_running_;
  while (running > most && !most_running_.compare_exchange_weak(most, running)) {
  }
  threads_.emplace_back([this, id, request = std::move(request), sink = std::move(sink)]() mutable {
    Answer(id, std::move(request), std::move(sink));
  });
  return id;
}

void ScriptedBackend::Answer(RequestId id, GenerateRequest request, EventSink sink) {
  const auto cancelled = [&] {
    const std::lock_guard lock(mutex_);
    return std::ranges::find(cancelled_, id) != cancelled_.end();
  };
  GenerateEvent event;
  event.finished = true;
  event.stats.prompt_tokens = static_cast<int>(request.prompt.size());
  // Long enough for others to be under way.
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  while (hang && !closing_ && !cancelled())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (hang) {
    event.finish_reason = FinishReason::kCancelled;
  } else if (request.prompt_logprobs >= 0) {
    for (size_t i = 1; i < request.prompt.size(); ++i) {
      GeneratedToken token;
      token.sampled.id = request.prompt[i];
      token.sampled.logprob =
          static_cast<float>(request.prompt[i] == request.prompt[i - 1] ? kSame : kOther);
      event.prompt_tokens.push_back(std::move(token));
    }
    event.finish_reason = FinishReason::kLength;
  } else {
    event.text = script_(*Detokenize(request.prompt));
    if (request.max_tokens >= 0 && event.text.size() > static_cast<size_t>(request.max_tokens)) {
      event.text.resize(static_cast<size_t>(request.max_tokens));
      event.finish_reason = FinishReason::kLength;
    }
    event.stats.completion_tokens = static_cast<int>(event.text.size());
  }
  --running_;
  sink(std::move(event));
}

void ScriptedBackend::Cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
}

Result<EmbeddingResult> ScriptedBackend::Embed(std::string_view) {
  return MakeError(ErrorCode::kUnsupported, "no embeddings here");
}

}  // namespace hearth::testing
