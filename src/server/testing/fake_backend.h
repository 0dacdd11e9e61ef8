#pragma once
// A Backend without a model, for tests of the server: bytes are tokens, the answer is a script,
// delays and errors are options. Threads: as Backend; the options are set before the first request.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "brain/backend.h"

namespace hearth::testing {

struct FakeOptions {
  std::string answer = "Hello there!";  // one byte, one token; ends with an end-of-turn token
  std::chrono::milliseconds token_delay{0};
  std::chrono::milliseconds prefill_delay{0};
  int max_running = 1'000'000;  // more get kResourceExhausted
  int fail_after = -1;          // tokens, then kError
  bool endless = false;         // repeats the answer until it is cancelled or max_tokens
  bool embedding_model = false;
  int context_length = 4096;
};

class FakeBackend : public Backend {
 public:
  static constexpr TokenId kBos = 256;
  static constexpr TokenId kEndOfTurn = 257;
  static constexpr int kVocabSize = 300;

  explicit FakeBackend(FakeOptions options = {});
  ~FakeBackend() override;

  const ModelCard& card() const override { return card_; }
  Result<std::vector<TokenId>> Tokenize(std::string_view text, bool add_special,
                                        bool parse_special) const override;
  Result<std::string> Detokenize(std::span<const TokenId> tokens) const override;
  std::string TokenBytes(TokenId id) const override;
  // "role: content\n" for each message, the tools' JSON in front.
  Result<RenderedPrompt> RenderChat(const ChatPrompt& prompt) const override;
  Result<RequestId> Generate(GenerateRequest request, EventSink sink) override;
  void Cancel(RequestId id) override;
  Result<EmbeddingResult> Embed(std::string_view text) override;
  BackendLoad load() const override;

  int num_running() const { return running_; }
  int num_cancelled() const { return cancelled_; }
  int num_generated() const { return generated_; }  // tokens, of all requests
  GenerateRequest last_request() const;

 private:
  struct Job;
  void RunJob(const std::shared_ptr<Job>& job);

  FakeOptions options_;
  ModelCard card_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;  // a job was cancelled
  std::map<RequestId, std::shared_ptr<Job>> jobs_;
  std::vector<std::thread> threads_;
  RequestId next_id_ = 1;
  GenerateRequest last_request_;
  std::atomic<int> running_ = 0;
  std::atomic<int> cancelled_ = 0;
  std::atomic<int> generated_ = 0;
};

}  // namespace hearth::testing
