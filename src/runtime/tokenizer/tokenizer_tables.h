#pragma once
// What a GGUF file says about its tokenizer, read and typed but not yet believed. The tokenizers
// are built from this, so that tests and fuzzers can make one without a file.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

// The spans are views into the GgufFile (or whatever the caller keeps).
struct TokenizerTables {
  std::string model;  // tokenizer.ggml.model: "gpt2", "llama", "bert"
  std::string pre;    // tokenizer.ggml.pre, empty when missing
  std::span<const std::string> tokens;
  std::span<const int64_t> types;       // empty when missing
  std::span<const std::string> merges;  // "left right", best first
  std::vector<float> scores;            // empty when missing

  // Ids of the special tokens, in range of `tokens`.
  std::optional<TokenId> bos, eos, eot, eom, unknown, separator, cls;
  std::optional<TokenId> fim_pad, fim_repo, fim_separator;
  std::optional<bool> add_bos, add_eos, add_separator, add_space_prefix;
  std::optional<bool> lowercase, strip_accents;  // tokenizer.ggml.normalizer.*, BERT's
};

// Errors: kNotFound, kCorrupt (a key of the wrong type, an id out of range).
Result<TokenizerTables> ReadTokenizerTables(const GgufFile& file);

// Errors: as Tokenizer::FromGguf. The tables may be dropped afterwards.
Result<std::unique_ptr<Tokenizer>> MakeTokenizer(const TokenizerTables& tables);

}  // namespace hearth
