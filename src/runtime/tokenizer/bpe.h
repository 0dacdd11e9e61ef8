#pragma once
// Byte-level BPE, as GPT-2 introduced it and Llama 3, Qwen and SmolLM use it: text is cut into
// words, a word into bytes, and neighbours are merged in the order of the file's merge list.
// Spellings write each byte as a printable character.
// Threads: immutable after construction, safe from many threads.

#include <memory>

#include "base/result.h"
#include "runtime/tokenizer/tokenizer_tables.h"

namespace hearth {

// Bytes that the vocabulary has no token for are left out, as transformers does.
// Errors: kUnsupported (the pre-tokenizer), kCorrupt (tables that contradict each other).
Result<std::unique_ptr<Tokenizer>> MakeBpeTokenizer(const TokenizerTables& tables);

}  // namespace hearth
