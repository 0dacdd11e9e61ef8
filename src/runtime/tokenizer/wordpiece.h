#pragma once
// WordPiece, as BERT and its sentence-embedding descendants use it: text is normalised and cut at
// spaces, punctuation and CJK characters, and each word is covered from the left by the longest
// tokens; a word that cannot be is one unknown token. In GGUF a token that begins a word starts
// with U+2581, and one that continues a word has lost its "##".
// Threads: immutable after construction, safe from many threads.
// Source: BasicTokenizer and WordpieceTokenizer in
// https://github.com/google-research/bert/blob/master/tokenization.py

#include <memory>

#include "base/result.h"
#include "runtime/tokenizer/tokenizer_tables.h"

namespace hearth {

// Errors: kCorrupt (tables that contradict each other, no unknown token).
Result<std::unique_ptr<Tokenizer>> MakeWordPieceTokenizer(const TokenizerTables& tables);

}  // namespace hearth
