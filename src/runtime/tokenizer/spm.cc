#include "runtime/tokenizer/spm.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "runtime/tokenizer/merge_symbols.h"
#include "runtime/tokenizer/table_tokenizer.h"
#include "runtime/tokenizer/unicode.h"

namespace hearth {
namespace {

// Words are merged as one up to this size, so that positions fit 32 bits.
constexpr size_t kMaxSpmWordBytes = size_t{1} << 30;

// Higher scores become lower ranks, in the order of the floats.
uint32_t RankOfScore(float score) {
  if (std::isnan(score)) score = -std::numeric_limits<float>::infinity();
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes 0
  const uint32_t ascending = (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
  return ~ascending;
}

class SpmTokenizer final : public TableTokenizer {
 public:
  SpmTokenizer(const TokenizerTables& tables, Vocab vocab, TokenRoles roles)
      : TableTokenizer(tables, std::move(vocab), std::move(roles), {.spaces_are_marks = true}),
        unknown_(tables.unknown.value_or(0)),
        adds_space_prefix_(tables.add_space_prefix.value_or(true)) {
    const Vocab& tokens = this->vocab();
    ranks_.reserve(static_cast<size_t>(tokens.size()));
    for (TokenId id = 0; id < tokens.size(); ++id) {
      ranks_.push_back(
          RankOfScore(tables.scores.empty() ? 0.0f : tables.scores[static_cast<size_t>(id)]));
      if (tokens.IsOrdinary(id)) NoteInnerSpaces(tokens.Text(id));
    }
    for (int byte = 0; byte < 256; ++byte) {
      byte_tokens_[static_cast<size_t>(byte)] = tokens.FindByte(static_cast<uint8_t>(byte));
    }
  }

  bool drops_leading_space() const override { return adds_space_prefix_; }

 private:
  void NoteInnerSpaces(std::string_view spelling) {
    for (size_t at = spelling.find(kSpaceMark, 1); at != std::string_view::npos;
         at = spelling.find(kSpaceMark, at + 1)) {
      if (!spelling.substr(0, at).ends_with(kSpaceMark)) {
        space_may_follow_[static_cast<unsigned char>(spelling[at - 1])] = true;
      }
    }
  }

  void EncodeText(std::string_view text, bool continues, std::vector<TokenId>& out) const override {
    std::string marked;
    marked.reserve(text.size() + text.size() / 2);
    if (adds_space_prefix_ && !continues) marked += kSpaceMark;
    for (const char c : text) {
      if (c == ' ') {
        marked += kSpaceMark;
      } else {
        marked += c;
      }
    }

    SymbolMerger merger;
    bool in_unknown = false;
    for (std::string_view rest = marked; !rest.empty();) {
      const std::string_view word = rest.substr(0, WordSize(rest));
      EncodeWord(word, merger, in_unknown, out);
      rest.remove_prefix(word.size());
    }
  }

  // Where no token goes on from the last byte before a space into that space, merging both sides
  // apart changes nothing and keeps the heap small.
  size_t WordSize(std::string_view text) const {
    size_t at = 0;
    while ((at = text.find(kSpaceMark, at)) != std::string_view::npos) {
      if (at > 0 && !text.substr(0, at).ends_with(kSpaceMark) &&
          !space_may_follow_[static_cast<unsigned char>(text[at - 1])]) {
        break;
      }
      at += kSpaceMark.size();
    }
    return std::min({at, text.size(), kMaxSpmWordBytes});
  }

  void EncodeWord(std::string_view word, SymbolMerger& merger, bool& in_unknown,
                  std::vector<TokenId>& out) const {
    merger.Clear();
    for (size_t begin = 0; begin < word.size();) {
      const size_t size = DecodeUtf8(word.substr(begin)).size_bytes;
      const auto token = vocab().FindOrdinary(word.substr(begin, size));
      merger.Add({token.value_or(-1), static_cast<uint32_t>(begin), static_cast<uint32_t>(size)});
      begin += size;
    }
    const auto find_merge = [&](const Symbol& left, const Symbol& right) {
      const auto token =
          vocab().FindOrdinary(word.substr(left.begin, left.size_bytes + right.size_bytes));
      return token ? Merge{ranks_[static_cast<size_t>(*token)], *token} : Merge{};
    };
    merger.Run(find_merge, [&](const Symbol& symbol) {
      if (symbol.token >= 0) {
        out.push_back(symbol.token);
        in_unknown = false;
      } else {
        AppendBytes(word.substr(symbol.begin, symbol.size_bytes), in_unknown, out);
      }
    });
  }

  // A run of bytes without tokens of their own is one unknown token.
  void AppendBytes(std::string_view bytes, bool& in_unknown, std::vector<TokenId>& out) const {
    for (const char byte : bytes) {
      const auto token = byte_tokens_[static_cast<unsigned char>(byte)];
      if (token) {
        out.push_back(*token);
      } else if (!in_unknown) {
        out.push_back(unknown_);
      }
      in_unknown = !token.has_value();
    }
  }

  std::string DecodeSpelling(std::string_view spelling) const override {
    return SpaceMarksToSpaces(spelling);
  }

  std::vector<uint32_t> ranks_;  // by token
  std::array<std::optional<TokenId>, 256> byte_tokens_;
  std::array<bool, 256> space_may_follow_{};  // by the last byte before a space inside some token
  TokenId unknown_;
  bool adds_space_prefix_;
};

// Files of the first days carry no token types.
void GuessTypes(const TokenizerTables& tables, const RoleDefaults& defaults, Vocab& vocab) {
  for (int byte = 0; byte < 256; ++byte) {
    if (const auto id = vocab.FindByteSpelling(static_cast<uint8_t>(byte)))
      vocab.SetType(*id, TokenType::kByte);
  }
  for (const auto id :
       {tables.bos ? tables.bos : defaults.bos, tables.eos ? tables.eos : defaults.eos}) {
    if (id && vocab.Contains(*id)) vocab.SetType(*id, TokenType::kControl);
  }
  vocab.SetType(tables.unknown.value_or(0), TokenType::kUnknown);
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeSpmTokenizer(const TokenizerTables& tables) {
  if (!tables.scores.empty() && tables.scores.size() < tables.tokens.size()) {
    return MakeError(ErrorCode::kCorrupt, "tokenizer: " + std::to_string(tables.scores.size()) +
                                              " scores for " +
                                              std::to_string(tables.tokens.size()) + " tokens");
  }
  HEARTH_ASSIGN_OR_RETURN(Vocab vocab, Vocab::Build(tables.tokens, tables.types));
  const RoleDefaults defaults{.bos = 1, .eos = 2, .adds_bos = true};
  if (tables.types.empty()) GuessTypes(tables, defaults, vocab);
  TokenRoles roles = ResolveRoles(tables, defaults, vocab);
  return std::unique_ptr<Tokenizer>(
      std::make_unique<SpmTokenizer>(tables, std::move(vocab), std::move(roles)));
}

}  // namespace hearth
