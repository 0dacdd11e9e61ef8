#include "server/testing/fake_backend.h"

#include <algorithm>
#include <utility>

namespace hearth::testing {

struct FakeBackend::Job {
  RequestId id = 0;
  GenerateRequest request;
  EventSink sink;
  bool cancelled = false;  // guarded by the backend's mutex
};

namespace {

GeneratedToken MakeToken(unsigned char byte, int num_top) {
  GeneratedToken token;
  token.sampled.id = byte;
  token.sampled.logprob = -0.5f;
  for (int rank = 0; rank < num_top; ++rank) {
    const TokenId id = rank == 0 ? byte : (byte + rank) % 128;
    token.sampled.top.push_back({id, -0.5f - static_cast<float>(rank)});
  }
  token.bytes = std::string(1, static_cast<char>(byte));
  return token;
}

}  // namespace

FakeBackend::FakeBackend(FakeOptions options) : options_(std::move(options)) {
  card_.id = "fake";
  card_.architecture = "none";
  card_.created_unix = 1'700'000'000;
  card_.context_length = options_.context_length;
  card_.vocab_size = kVocabSize;
  card_.embedding_size = options_.embedding_model ? 4 : 0;
  card_.can_generate = !options_.embedding_model;
  card_.can_embed = options_.embedding_model;
  card_.has_chat_template = true;
}

FakeBackend::~FakeBackend() {
  {
    const std::lock_guard lock(mutex_);
    for (auto& [id, job] : jobs_) job->cancelled = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Result<std::vector<TokenId>> FakeBackend::Tokenize(std::string_view text, bool add_special,
                                                   bool) const {
  std::vector<TokenId> tokens;
  if (add_special) tokens.push_back(kBos);
  for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
  return tokens;
}

Result<std::string> FakeBackend::Detokenize(std::span<const TokenId> tokens) const {
  std::string text;
  for (const TokenId id : tokens) {
    if (id < 0 || id >= kVocabSize) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "token id " + std::to_string(id) + " is outside the vocabulary");
    }
    text += TokenBytes(id);
  }
  return text;
}

std::string FakeBackend::TokenBytes(TokenId id) const {
  if (id == kBos) return "<s>";
  if (id == kEndOfTurn) return "</s>";
  return id < 256 ? std::string(1, static_cast<char>(id)) : "";
}

Result<RenderedPrompt> FakeBackend::RenderChat(const ChatPrompt& prompt) const {
  RenderedPrompt rendered;
  rendered.text = prompt.tools_json;
  for (const ChatMessage& message : prompt.messages) {
    if (message.content == "refuse")
      return MakeError(ErrorCode::kInvalidArgument, "the template refuses");
    rendered.text += message.role + ": " + message.content.value_or("") + "\n";
  }
  rendered.tokens = *Tokenize(rendered.text, true, false);
  return rendered;
}

Result<RequestId> FakeBackend::Generate(GenerateRequest request, EventSink sink) {
  const std::lock_guard lock(mutex_);
  if (running_ >= options_.max_running)
    return MakeError(ErrorCode::kResourceExhausted, "the queue is full");
  auto job = std::make_shared<Job>();
  job->id = next_id_++;
  last_request_ = request;
  job->request = std::move(request);
  job->sink = std::move(sink);
  jobs_[job->id] = job;
  ++running_;
  threads_.emplace_back([this, job] { RunJob(job); });
  return job->id;
}

void FakeBackend::RunJob(const std::shared_ptr<Job>& job) {
  // True: cancelled meanwhile.
  const auto pause = [&](std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, time, [&] { return job->cancelled; });
  };
  const GenerateRequest& request = job->request;
  const int num_top = std::max(0, request.sampling.num_top_logprobs);
  GenerateEvent last;
  last.stats.prompt_tokens = static_cast<int>(request.prompt.size());
  bool stopped = pause(options_.prefill_delay);
  std::vector<GeneratedToken> prompt_tokens;
  for (size_t i = 1; request.prompt_logprobs >= 0 && i < request.prompt.size(); ++i) {
    prompt_tokens.push_back(
        MakeToken(static_cast<unsigned char>(request.prompt[i]), request.prompt_logprobs));
  }
  last.prompt_tokens = prompt_tokens;
  const int limit = request.max_tokens < 0 ? options_.context_length : request.max_tokens;
  last.finish_reason = FinishReason::kLength;
  std::string text;
  for (int count = 0; !stopped && count < limit; ++count) {
    if (count == options_.fail_after) {
      last.finish_reason = FinishReason::kError;
      last.error = Error{ErrorCode::kInternal, "secret detail"};
      break;
    }
    const auto position = static_cast<size_t>(count);
    if (position >= options_.answer.size() && !options_.endless && !request.ignore_end_of_turn) {
      last.finish_reason = FinishReason::kStop;
      ++last.stats.completion_tokens;
      break;
    }
    const char byte = options_.answer[position % options_.answer.size()];
    if (pause(options_.token_delay)) {
      stopped = true;
      break;
    }
    GenerateEvent event;
    event.text = std::string(1, byte);
    event.tokens.push_back(MakeToken(static_cast<unsigned char>(byte), num_top));
    event.prompt_tokens = std::exchange(last.prompt_tokens, {});
    event.stats = last.stats;
    event.stats.completion_tokens = ++last.stats.completion_tokens;
    text += byte;
    ++generated_;
    // Good enough for stops of one byte.
    const bool is_stop =
        std::find(request.stop.begin(), request.stop.end(), event.text) != request.stop.end();
    if (is_stop) {
      last.finish_reason = FinishReason::kStop;
      last.stop_matched = event.text;
      break;
    }
    job->sink(std::move(event));
  }
  if (stopped) last.finish_reason = FinishReason::kCancelled;
  last.finished = true;
  {
    const std::lock_guard lock(mutex_);
    jobs_.erase(job->id);
  }
  --running_;
  job->sink(std::move(last));
  job->sink = nullptr;
}

void FakeBackend::Cancel(RequestId id) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) return;
    found->second->cancelled = true;
  }
  ++cancelled_;
  wake_.notify_all();
}

Result<EmbeddingResult> FakeBackend::Embed(std::string_view text) {
  if (!options_.embedding_model) return MakeError(ErrorCode::kUnsupported, "no embeddings here");
  return EmbeddingResult{{0.5f, -0.5f, 0.5f, 0.5f}, static_cast<int>(text.size())};
}

BackendLoad FakeBackend::load() const {
  BackendLoad load;
  load.running_requests = running_;
  load.prefix_cache_queries = 100;
  load.prefix_cache_hits = 40;
  return load;
}

GenerateRequest FakeBackend::last_request() const {
  const std::lock_guard lock(mutex_);
  return last_request_;
}

}  // namespace hearth::testing
