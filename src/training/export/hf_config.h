#pragma once
// config.json and generation_config.json of a Hugging Face folder, from a decoder's sizes. No
// torch. Threads: pure functions.
// Source: transformers' LlamaConfig and Qwen2Config, in the layout of version 4, which version 5
// and everyone else read too.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/gguf/gguf.h"
#include "training/model/decoder_config.h"

namespace hearth::forge {

struct SpecialTokens {
  std::optional<int64_t> bos, pad;
  std::vector<int64_t> ends;  // EOS first
};
// As a GGUF file's metadata has them.
SpecialTokens SpecialTokensOf(const GgufFile& file);

// `dtype`: "float32", "bfloat16" or "float16". Errors: kUnsupported for rotary factors that no
// setting of llama3's scaling gives.
Result<std::string> HfConfigText(const DecoderConfig& config, const SpecialTokens& tokens,
                                 const std::string& dtype);
// Empty where there are no special tokens.
std::string HfGenerationConfigText(const SpecialTokens& tokens);
// The text of a config.json with its type of weights replaced. Errors: those of ReadJsonObject.
Result<std::string> HfConfigWithDtype(const std::string& path, const std::string& dtype);

}  // namespace hearth::forge
