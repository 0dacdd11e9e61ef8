#pragma once
// SentencePiece BPE, as Llama 1 and 2, Mistral and Gemma use it: spaces become U+2581, and of all
// neighbours that spell a token together those with the best score are merged first. What no token
// covers becomes byte tokens, or the unknown token.
// Threads: immutable after construction, safe from many threads.
// Source: https://github.com/google/sentencepiece/blob/master/src/bpe_model.cc

#include <memory>

#include "base/result.h"
#include "runtime/tokenizer/tokenizer_tables.h"

namespace hearth {

// Errors: kCorrupt (tables that contradict each other).
Result<std::unique_ptr<Tokenizer>> MakeSpmTokenizer(const TokenizerTables& tables);

}  // namespace hearth
