#include "runtime/tokenizer/bpe.h"

#include <array>
#include <utility>

#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/merge_symbols.h"
#include "runtime/tokenizer/merge_table.h"
#include "runtime/tokenizer/pre_tokenizer.h"
#include "runtime/tokenizer/table_tokenizer.h"

namespace hearth {
namespace {

constexpr TokenId kNoToken = -1;

// Words are merged as one up to this size, so that positions fit 32 bits; only a text of gigabytes
// without a space has more.
constexpr size_t kMaxWordBytes = size_t{1} << 30;

class BpeTokenizer final : public TableTokenizer {
 public:
  BpeTokenizer(const TokenizerTables& tables, PreTokenizer pre, Vocab vocab, TokenRoles roles,
               MergeTable merges)
      : TableTokenizer(tables, std::move(vocab), std::move(roles), {}),
        pre_(pre),
        merges_(std::move(merges)) {
    for (int byte = 0; byte < 256; ++byte) {
      auto token = this->vocab().FindOrdinary(ByteSpelling(static_cast<uint8_t>(byte)));
      if (!token) token = this->vocab().FindByte(static_cast<uint8_t>(byte));
      byte_tokens_[static_cast<size_t>(byte)] = token.value_or(kNoToken);
    }
  }

 private:
  void EncodeText(std::string_view text, bool /*continues*/,
                  std::vector<TokenId>& out) const override {
    SymbolMerger merger;
    std::string spelling;
    size_t begin = 0;
    for (const size_t end : pre_.WordEnds(text)) {
      for (; begin < end; begin += std::min(kMaxWordBytes, end - begin)) {
        const std::string_view word = text.substr(begin, std::min(kMaxWordBytes, end - begin));
        if (pre_.prefers_whole_words() && AppendWholeWord(word, spelling, out)) continue;
        MergeWord(word, merger, out);
      }
    }
  }

  bool AppendWholeWord(std::string_view word, std::string& spelling,
                       std::vector<TokenId>& out) const {
    if (word.size() > vocab().max_token_bytes()) return false;
    spelling.clear();
    for (const char byte : word) spelling += ByteSpelling(static_cast<uint8_t>(byte));
    const auto token = vocab().FindOrdinary(spelling);
    if (token) out.push_back(*token);
    return token.has_value();
  }

  void MergeWord(std::string_view word, SymbolMerger& merger, std::vector<TokenId>& out) const {
    merger.Clear();
    for (const char byte : word) {
      const TokenId token = byte_tokens_[static_cast<uint8_t>(byte)];
      if (token != kNoToken) merger.Add({token, 0, 0});
    }
    merger.Run([&](const Symbol& left,
                   const Symbol& right) { return merges_.Find(left.token, right.token); },
               [&](const Symbol& symbol) { out.push_back(symbol.token); });
  }

  std::string DecodeSpelling(std::string_view spelling) const override {
    return DecodeByteSpelling(spelling).value_or(std::string(spelling));
  }

  PreTokenizer pre_;
  MergeTable merges_;
  std::array<TokenId, 256> byte_tokens_;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeBpeTokenizer(const TokenizerTables& tables) {
  HEARTH_ASSIGN_OR_RETURN(const PreTokenizer pre, PreTokenizer::ForName(tables.pre));
  HEARTH_ASSIGN_OR_RETURN(Vocab vocab, Vocab::Build(tables.tokens, tables.types));
  RoleDefaults defaults;
  defaults.adds_bos = pre.adds_bos();
  TokenRoles roles = ResolveRoles(tables, defaults, vocab);
  HEARTH_ASSIGN_OR_RETURN(MergeTable merges, MergeTable::Build(tables.merges, vocab));
  return std::unique_ptr<Tokenizer>(std::make_unique<BpeTokenizer>(
      tables, pre, std::move(vocab), std::move(roles), std::move(merges)));
}

}  // namespace hearth
