#pragma once
// JSON bodies -> typed requests. Fields nobody knows pass; fields that are ill-typed, out of range
// or ask for what is not there are errors that name the field. Source: OpenAI's API reference;
// vLLM's extensions (top_k, min_p, repetition_penalty, ignore_eos, chat_template_kwargs).

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "brain/backend.h"
#include "server/openai/api_error.h"
#include "server/openai/json.h"

namespace hearth::openai {

// What chat and text completion share.
struct GenerationFields {
  std::string model;         // empty: whatever is served
  SamplingOptions sampling;  // num_top_logprobs included
  std::optional<uint64_t> seed;
  int max_tokens = -1;
  std::vector<std::string> stop;
  int n = 1;
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  bool ignore_end_of_turn = false;
};

struct ChatRequest {
  GenerationFields fields;
  ChatPrompt prompt;
};

using PromptInput = std::variant<std::string, std::vector<TokenId>>;

struct CompletionRequest {
  GenerationFields fields;
  std::vector<PromptInput> prompts;  // at least one
  bool echo = false;
};

struct EmbeddingRequest {
  std::string model;
  std::vector<PromptInput> inputs;  // at least one, none empty
  bool base64 = false;
  std::optional<int> dimensions;
};

struct TokenizeRequest {
  std::string model;
  std::optional<std::string> text;  // or:
  ChatPrompt prompt;
  bool add_special = true;
  bool parse_special = true;
  bool with_pieces = false;
};

struct DetokenizeRequest {
  std::string model;
  std::vector<TokenId> tokens;
};

ApiResult<ChatRequest> ParseChatRequest(const Json& body);
ApiResult<CompletionRequest> ParseCompletionRequest(const Json& body);
ApiResult<EmbeddingRequest> ParseEmbeddingRequest(const Json& body);
ApiResult<TokenizeRequest> ParseTokenizeRequest(const Json& body);
ApiResult<DetokenizeRequest> ParseDetokenizeRequest(const Json& body);

// A string, an array of strings, an array of token ids or an array of those.
std::vector<PromptInput> ReadPrompts(FieldReader& reader, std::string_view name,
                                     size_t max_prompts);

// chat_messages.cc: `messages`, `tools`, `tool_choice`, `chat_template_kwargs`,
// `add_generation_prompt`.
ChatPrompt ReadChatPrompt(FieldReader& reader);

// generation_fields.cc
GenerationFields ReadGenerationFields(FieldReader& reader);

}  // namespace hearth::openai
