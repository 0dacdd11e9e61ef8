#include "runtime/tokenizer/tokenizer.h"

#include "runtime/tokenizer/bpe.h"
#include "runtime/tokenizer/spm.h"
#include "runtime/tokenizer/tokenizer_tables.h"
#include "runtime/tokenizer/wordpiece.h"

namespace hearth {

Result<std::unique_ptr<Tokenizer>> MakeTokenizer(const TokenizerTables& tables) {
  if (tables.model == "gpt2") return MakeBpeTokenizer(tables);
  if (tables.model == "llama") return MakeSpmTokenizer(tables);
  if (tables.model == "bert") return MakeWordPieceTokenizer(tables);
  return MakeError(ErrorCode::kUnsupported,
                   "tokenizer '" + tables.model + "' (tokenizer.ggml.model)");
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::FromGguf(const GgufFile& file) {
  HEARTH_ASSIGN_OR_RETURN(const TokenizerTables tables, ReadTokenizerTables(file));
  return MakeTokenizer(tables);
}

std::vector<TokenId> Tokenizer::Encode(std::span<const TextSegment> segments,
                                       bool add_special) const {
  return EncodeSegments(segments, add_special);
}

std::vector<TokenId> Tokenizer::Encode(std::string_view text, bool add_special,
                                       bool parse_special) const {
  const TextSegment segment{text, parse_special};
  return EncodeSegments({&segment, 1}, add_special);
}

}  // namespace hearth
