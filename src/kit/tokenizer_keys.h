#pragma once
// The tokenizer files of a Hugging Face folder -> the tokenizer keys of a GGUF file, the chat
// template among them.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "runtime/gguf/gguf_writer.h"

namespace hearth {

// `num_rows`: of the embedding; ids that the tokenizer leaves out are filled with unused tokens.
// Errors: kNotFound when there are no tokenizer files; kUnsupported for kinds and pre-tokenizers
// that Hearth lacks, with the pattern; kCorrupt.
Status SetTokenizer(const std::string& folder, bool is_bert, int64_t num_rows, GgufWriter& writer);

}  // namespace hearth
