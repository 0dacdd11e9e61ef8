#pragma once
// Whoever answers questions: the model under test, or a judge. Two kinds: a Backend on this machine
// (BackendAnswerer) and an OpenAI-compatible server (EndpointAnswerer).
// Threads: Ask is safe from many threads, each waits for its own answer; that is how requests share
// a batch.

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "brain/backend.h"

namespace hearth::eval {

struct Question {
  ChatPrompt prompt;
  int max_tokens = 1024;
  float temperature = 0;  // 0: greedy
  uint64_t seed = 0;
};

struct ModelAnswer {
  std::string text;      // calls of tools that a server parsed stand in it as <tool_call> JSON
  bool cut_off = false;  // by max_tokens or the end of the context
  // Why the model did not take the question (longer than its context, refused by its template); the
  // item counts as failed. Empty: it did.
  std::string refused;
  int prompt_tokens = 0;
  int completion_tokens = 0;
};

// Asked now and then while something is waited for; true ends it with kCancelled.
using StopCheck = std::function<bool()>;

class Answerer {
 public:
  virtual ~Answerer() = default;
  virtual std::string id() const = 0;
  // Errors: whatever keeps the model from answering at all (kUnavailable, kIo, kInternal, ...);
  // kCancelled when the StopCheck said so.
  virtual Result<ModelAnswer> Ask(const Question& question) = 0;
  // Does it show the tools of a ChatPrompt to the model?
  virtual bool shows_tools() const = 0;
};

}  // namespace hearth::eval
