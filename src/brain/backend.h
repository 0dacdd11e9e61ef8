#pragma once
// The one interface between the brain (and the server) and whatever runs the model: our engine, or
// any OpenAI-compatible server. Nothing above this line knows about tensors.
// Threads: every method is safe from many threads.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/engine/request.h"

namespace hearth {

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments_json;
};

struct ChatMessage {
  std::string role;                    // system, developer, user, assistant, tool
  std::optional<std::string> content;  // absent for an assistant message of tool calls alone
  std::string name;
  std::string tool_call_id;
  std::vector<ToolCall> tool_calls;
};

struct ChatPrompt {
  std::vector<ChatMessage> messages;
  std::string tools_json;  // a JSON array as in OpenAI's `tools`; empty: none
  // a JSON object of further template variables (chat_template_kwargs); empty: none
  std::string template_kwargs_json;
  bool add_generation_prompt = true;
};

struct RenderedPrompt {
  std::string text;
  std::vector<TokenId> tokens;
};

struct ModelCard {
  std::string id;            // what clients call it: the file's or the kit's name
  std::string architecture;  // "llama", "qwen2", ...
  int64_t created_unix = 0;
  int context_length = 0;  // tokens of prompt and answer together
  int vocab_size = 0;
  int embedding_size = 0;
  int64_t size_bytes = 0;
  int64_t num_parameters = 0;
  bool can_generate = true;  // false: an embedding model
  bool can_embed = false;
  bool has_chat_template = false;
};

// A snapshot for /metrics and for admission.
struct BackendLoad {
  int running_requests = 0;
  int waiting_requests = 0;
  double kv_cache_usage = 0;         // 0 to 1
  int64_t prefix_cache_queries = 0;  // prompt tokens looked up, since start
  int64_t prefix_cache_hits = 0;     // of those, found
  int64_t draft_tokens = 0;          // guesses of speculative decoding that were checked
  int64_t accepted_tokens = 0;       // of them, right
  int64_t preemptions = 0;
  int64_t steps = 0;  // forward passes, since start
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual const ModelCard& card() const = 0;

  virtual Result<std::vector<TokenId>> Tokenize(std::string_view text, bool add_special,
                                                bool parse_special) const = 0;
  // Errors: kInvalidArgument for an id outside the vocabulary.
  virtual Result<std::string> Detokenize(std::span<const TokenId> tokens) const = 0;
  // The token's bytes, for log-probabilities. Requires a valid id.
  virtual std::string TokenBytes(TokenId id) const = 0;
  // Errors: kUnsupported for a model without a chat template, kInvalidArgument for what the
  // template itself refuses.
  virtual Result<RenderedPrompt> RenderChat(const ChatPrompt& prompt) const = 0;

  // Queues a request. Errors before anything runs: kInvalidArgument (a sampling field; a prompt
  // longer than the context: the message gives both lengths), kResourceExhausted (the queue is
  // full), kUnavailable (shutting down).
  virtual Result<RequestId> Generate(GenerateRequest request, EventSink sink) = 0;
  // Stops within one step; the sink still gets its last event. Unknown or finished ids are ignored.
  virtual void Cancel(RequestId id) = 0;

  // Errors: kUnsupported for a model that cannot embed.
  virtual Result<EmbeddingResult> Embed(std::string_view text) = 0;

  virtual BackendLoad load() const = 0;
};

}  // namespace hearth
