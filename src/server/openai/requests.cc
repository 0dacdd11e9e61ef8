#include "server/openai/requests.h"

#include <algorithm>
#include <utility>

namespace hearth::openai {
namespace {

constexpr int kMaxTopLogprobs = 20;
constexpr size_t kMaxPrompts = 256;
constexpr size_t kMaxEmbeddingInputs = 2048;  // OpenAI's own limit
constexpr size_t kMaxDetokenize = 1'000'000;

bool IsTokenArray(const Json& value) {
  return value.is_array() && !value.empty() && value[0].is_number();
}

std::vector<TokenId> ReadTokens(FieldReader& reader, const Json& values, const std::string& path) {
  std::vector<TokenId> tokens;
  tokens.reserve(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const Json& value = values[i];
    if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > kMaxInt) {
      reader.Fail(InvalidField(path + "[" + std::to_string(i) + "]",
                               "'" + path + "' holds something that is not a token id",
                               "invalid_type"));
      return {};
    }
    tokens.push_back(static_cast<TokenId>(value.get<int64_t>()));
  }
  return tokens;
}

}  // namespace

std::vector<PromptInput> ReadPrompts(FieldReader& reader, std::string_view name,
                                     size_t max_prompts) {
  std::vector<PromptInput> out;
  const Json* value = reader.Find(name);
  const std::string path = reader.Path(name);
  if (value == nullptr) {
    reader.FailMissing(name);
  } else if (value->is_string()) {
    out.emplace_back(value->get<std::string>());
  } else if (IsTokenArray(*value)) {
    out.emplace_back(ReadTokens(reader, *value, path));
  } else if (!value->is_array() || value->empty()) {
    reader.Fail(
        name,
        "'" + path +
            "' must be a string, an array of strings, an array of token ids or an array of those",
        value->is_array() ? "invalid_value" : "invalid_type");
  } else if (value->size() > max_prompts) {
    reader.Fail(name, "'" + path + "' may hold up to " + std::to_string(max_prompts) +
                          " entries, not " + std::to_string(value->size()));
  } else {
    for (size_t i = 0; i < value->size() && !reader.failed(); ++i) {
      const Json& entry = (*value)[i];
      const std::string entry_path = path + "[" + std::to_string(i) + "]";
      if (entry.is_string()) {
        out.emplace_back(entry.get<std::string>());
      } else if (IsTokenArray(entry)) {
        out.emplace_back(ReadTokens(reader, entry, entry_path));
      } else {
        reader.Fail(InvalidField(entry_path,
                                 "'" + entry_path + "' must be a string or an array of token ids",
                                 "invalid_type"));
      }
    }
  }
  return out;
}

ApiResult<ChatRequest> ParseChatRequest(const Json& body) {
  FieldReader reader(body);
  ChatRequest request;
  request.fields = ReadGenerationFields(reader);
  request.prompt = ReadChatPrompt(reader);
  const int64_t older = reader.Integer("max_tokens", -1, 1, kMaxInt);
  request.fields.max_tokens =
      static_cast<int>(reader.Integer("max_completion_tokens", older, 1, kMaxInt));
  const bool logprobs = reader.Bool("logprobs", false);
  const auto top = static_cast<int>(reader.Integer("top_logprobs", 0, 0, kMaxTopLogprobs));
  if (logprobs) {
    request.fields.sampling.num_top_logprobs = top;
  } else if (top > 0) {
    reader.Fail("top_logprobs", "'top_logprobs' needs 'logprobs' to be true");
  }
  if (reader.failed()) return tl::unexpected(reader.error());
  return request;
}

ApiResult<CompletionRequest> ParseCompletionRequest(const Json& body) {
  FieldReader reader(body);
  CompletionRequest request;
  request.fields = ReadGenerationFields(reader);
  request.prompts = ReadPrompts(reader, "prompt", kMaxPrompts);
  request.echo = reader.Bool("echo", false);
  const int64_t newer = reader.Integer("max_completion_tokens", 16, 0, kMaxInt);
  request.fields.max_tokens = static_cast<int>(reader.Integer("max_tokens", newer, 0, kMaxInt));
  if (const Json* logprobs = reader.Find("logprobs");
      logprobs != nullptr && logprobs->is_boolean()) {
    reader.Fail("logprobs", "'logprobs' of a text completion must be an integer, not a boolean",
                "invalid_type");
  }
  request.fields.sampling.num_top_logprobs =
      static_cast<int>(reader.Integer("logprobs", -1, 0, kMaxTopLogprobs));
  if (reader.Integer("best_of", request.fields.n, 1, kMaxInt) != request.fields.n) {
    reader.Fail("best_of", "'best_of' is not supported unless it equals 'n'", "unsupported_value");
  }
  if (!reader.String("suffix").empty()) {
    reader.Fail(
        "suffix",
        "'suffix' is not supported; write the model's own fill-in-the-middle tokens into 'prompt'",
        "unsupported_parameter");
  }
  if (reader.failed()) return tl::unexpected(reader.error());
  return request;
}

ApiResult<EmbeddingRequest> ParseEmbeddingRequest(const Json& body) {
  FieldReader reader(body);
  EmbeddingRequest request;
  request.model = reader.String("model");
  request.inputs = ReadPrompts(reader, "input", kMaxEmbeddingInputs);
  reader.String("user");  // OpenAI's, and of no use here
  const std::string format = reader.String("encoding_format", "float");
  if (format != "float" && format != "base64") {
    reader.Fail("encoding_format", "'encoding_format' must be \"float\" or \"base64\"");
  }
  request.base64 = format == "base64";
  if (reader.Find("dimensions") != nullptr) {
    request.dimensions = static_cast<int>(reader.Integer("dimensions", 1, 1, kMaxInt));
  }
  for (const PromptInput& input : request.inputs) {
    const auto* text = std::get_if<std::string>(&input);
    if (text != nullptr && text->empty())
      reader.Fail("input", "'input' must not hold an empty string");
  }
  if (reader.failed()) return tl::unexpected(reader.error());
  return request;
}

ApiResult<TokenizeRequest> ParseTokenizeRequest(const Json& body) {
  FieldReader reader(body);
  TokenizeRequest request;
  request.model = reader.String("model");
  // vLLM says prompt and add_special_tokens, llama.cpp content and add_special.
  const bool is_prompt = reader.Find("prompt") != nullptr;
  const bool is_content = reader.Find("content") != nullptr;
  if (is_prompt || is_content) {
    request.text = reader.String(is_prompt ? "prompt" : "content");
    request.add_special = reader.Bool("add_special_tokens", reader.Bool("add_special", is_prompt));
  } else if (reader.Find("messages") != nullptr) {
    request.prompt = ReadChatPrompt(reader);
  } else {
    reader.FailMissing("prompt");
  }
  request.parse_special = reader.Bool("parse_special", true);
  request.with_pieces = reader.Bool("return_token_strs", reader.Bool("with_pieces", false));
  if (reader.failed()) return tl::unexpected(reader.error());
  return request;
}

ApiResult<DetokenizeRequest> ParseDetokenizeRequest(const Json& body) {
  FieldReader reader(body);
  DetokenizeRequest request;
  request.model = reader.String("model");
  const Json* tokens = reader.Array("tokens");
  if (tokens == nullptr) {
    reader.FailMissing("tokens");
  } else if (tokens->size() > kMaxDetokenize) {
    reader.Fail("tokens", "'tokens' holds too many tokens");
  } else {
    request.tokens = ReadTokens(reader, *tokens, "tokens");
  }
  if (reader.failed()) return tl::unexpected(reader.error());
  return request;
}

}  // namespace hearth::openai
