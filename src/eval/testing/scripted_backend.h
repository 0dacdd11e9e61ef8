#pragma once
// A Backend without a model, for tests of the evaluation: bytes are tokens, and the answer to a
// chat is what a function makes of its last message. Answers come on threads of their own, so
// several requests run at once. Log-probabilities of a prompt are those of a fixed rule. Threads:
// as Backend; the script must be safe from many threads.

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "brain/backend.h"

namespace hearth::testing {

// The rendered prompt -> the answer.
using Script = std::function<std::string(const std::string&)>;

class ScriptedBackend : public Backend {
 public:
  explicit ScriptedBackend(Script script);
  ~ScriptedBackend() override;

  const ModelCard& card() const override { return card_; }
  Result<std::vector<TokenId>> Tokenize(std::string_view text, bool add_special,
                                        bool parse_special) const override;
  Result<std::string> Detokenize(std::span<const TokenId> tokens) const override;
  std::string TokenBytes(TokenId id) const override;
  // "role: content\n" for each message; the tools' JSON in front where `show_tools` is set. Refuses
  // a message that says "refuse".
  Result<RenderedPrompt> RenderChat(const ChatPrompt& prompt) const override;
  Result<RequestId> Generate(GenerateRequest request, EventSink sink) override;
  void Cancel(RequestId id) override;
  Result<EmbeddingResult> Embed(std::string_view text) override;
  BackendLoad load() const override { return {}; }

  // The rule: a byte's probability is 1/4 after itself, else 1/8.
  static constexpr double kSame = -1.3862943611198906;   // log 1/4
  static constexpr double kOther = -2.0794415416798357;  // log 1/8

  bool show_tools = false;
  bool hang = false;                 // answers wait until they are cancelled
  int max_running = 1000;            // more get kResourceExhausted
  std::atomic<int> fail_after = -1;  // requests; then kUnavailable
  int num_requests() const { return num_requests_; }
  int most_running() const { return most_running_; }

 private:
  void Answer(RequestId id, GenerateRequest request, EventSink sink);

  Script script_;
  ModelCard card_;
  std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::vector<RequestId> cancelled_;
  std::atomic<bool> closing_ = false;
  std::atomic<int> num_requests_ = 0, running_ = 0, most_running_ = 0;
};

}  // namespace hearth::testing
