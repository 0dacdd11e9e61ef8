#pragma once
// The tokenizer files of a Hugging Face folder (tokenizer.json, tokenizer_config.json) from the
// tables of a GGUF file: the way back from kit/tokenizer_keys.h. Byte-level BPE with a
// pre-tokenizer that the kit knows. No torch. Threads: pure functions.

#include <string>

#include "base/result.h"
#include "runtime/gguf/gguf.h"

namespace hearth::forge {

struct HfTokenizer {
  std::string tokenizer_json, tokenizer_config_json;
  std::string chat_template;  // empty: none
};
// Errors: kUnsupported for other kinds of tokenizer and pre-tokenizers, by name; kCorrupt for tables
// that contradict each other, or hold two tokens of one spelling.
Result<HfTokenizer> HfTokenizerOf(const GgufFile& file);

}  // namespace hearth::forge
