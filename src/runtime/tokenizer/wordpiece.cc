#include "runtime/tokenizer/wordpiece.h"

#include <utf8proc.h>

#include <algorithm>
#include <utility>

#include "runtime/tokenizer/table_tokenizer.h"
#include "runtime/tokenizer/unicode.h"

namespace hearth {
namespace {

constexpr int kMaxWordChars = 100;  // longer words are unknown, as in the original

bool IsCjk(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B820 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

// All of ASCII that is neither letter nor digit counts, "$" and "^" among it.
bool IsPunctuation(uint32_t c) {
  if (c < 128)
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
           (c >= 123 && c <= 126);
  return CategoryOf(c) == Category::kPunctuation;
}

class WordPieceTokenizer final : public TableTokenizer {
 public:
  WordPieceTokenizer(const TokenizerTables& tables, Vocab vocab, TokenRoles roles, TokenId unknown)
      : TableTokenizer(tables, std::move(vocab), std::move(roles), {}),
        unknown_(unknown),
        lowercase_(tables.lowercase.value_or(true)),
        strip_accents_(tables.strip_accents.value_or(lowercase_)) {}

  bool drops_leading_space() const override { return true; }

 private:
  // A word as it is being gathered; `num_chars` of its text.
  struct Word {
    std::string text;
    int num_chars = 0;
  };

  void EncodeText(std::string_view text, bool /*continues*/,
                  std::vector<TokenId>& out) const override {
    Word word;
    while (!text.empty()) {
      const Utf8Unit unit = DecodeUtf8(text);
      text.remove_prefix(unit.size_bytes);
      if (unit.kind != Utf8Unit::Kind::kValid) continue;  // as U+FFFD, which is cleaned away
      AddChar(unit.code_point, word, out);
    }
    EndWord(word, out);
  }

  void AddChar(uint32_t c, Word& word, std::vector<TokenId>& out) const {
    if (c == '\t' || c == '\n' || c == '\r') return EndWord(word, out);
    // Controls go before whitespace is looked for: U+0085 joins what it stands between.
    if (c == kReplacementCharacter || CategoryOf(c) == Category::kOther) return;
    if (IsWhitespace(c)) return EndWord(word, out);
    if (!strip_accents_) return AddNormalized(c, word, out);
    utf8proc_int32_t parts[8];
    int boundary = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts,
                                                           8, UTF8PROC_DECOMPOSE, &boundary);
    if (count < 0 || count > 8) return AddNormalized(c, word, out);
    for (utf8proc_ssize_t i = 0; i < count; ++i) {
      const auto part = static_cast<uint32_t>(parts[i]);
      if (CategoryOf(part) != Category::kNonspacingMark) AddNormalized(part, word, out);
    }
  }

  void AddNormalized(uint32_t c, Word& word, std::vector<TokenId>& out) const {
    if (lowercase_) c = static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
    const bool alone = IsPunctuation(c) || IsCjk(c);
    if (alone) EndWord(word, out);
    AppendUtf8(c, word.text);
    ++word.num_chars;
    if (alone) EndWord(word, out);
  }

  // Covers the word from the left by the longest tokens.
  void EndWord(Word& word, std::vector<TokenId>& out) const {
    if (word.num_chars == 0) return;
    const size_t first_token = out.size();
    std::string candidate(kSpaceMark);
    candidate += word.text;
    // A piece is looked up with the mark in front at the word's start, bare after it.
    size_t begin = 0;
    bool known = word.num_chars <= kMaxWordChars;
    while (known && begin < candidate.size()) {
      size_t end = std::min(candidate.size(), begin + vocab().max_token_bytes());
      std::optional<TokenId> token;
      const size_t least = begin == 0 ? kSpaceMark.size() : begin;
      for (; end > least && !token; --end)
        token = vocab().FindOrdinary(std::string_view(candidate).substr(begin, end - begin));
      known = token.has_value();
      if (known) out.push_back(*token);
      begin = end + 1;
    }
    if (!known) {
      out.resize(first_token);
      out.push_back(unknown_);
    }
    word = {};
  }

  std::string DecodeSpelling(std::string_view spelling) const override {
    return SpaceMarksToSpaces(spelling);
  }

  TokenId unknown_;
  bool lowercase_;
  bool strip_accents_;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeWordPieceTokenizer(const TokenizerTables& tables) {
  HEARTH_ASSIGN_OR_RETURN(Vocab vocab, Vocab::Build(tables.tokens, tables.types));
  const std::optional<TokenId> unknown = tables.unknown ? tables.unknown : vocab.Find("[UNK]");
  if (!unknown)
    return MakeError(ErrorCode::kCorrupt,
                     "tokenizer: a WordPiece vocabulary without an unknown token");
  // Files without token types: the marks of the format stand in brackets.
  if (tables.types.empty()) {
    for (const char* mark : {"[PAD]", "[CLS]", "[SEP]", "[MASK]"}) {
      if (const auto id = vocab.Find(mark)) vocab.SetType(*id, TokenType::kControl);
    }
    vocab.SetType(*unknown, TokenType::kUnknown);
  }
  RoleDefaults defaults;
  defaults.bos = tables.cls ? tables.cls : vocab.Find("[CLS]");
  defaults.eos = tables.separator ? tables.separator : vocab.Find("[SEP]");
  defaults.adds_bos = true;
  defaults.adds_eos = tables.add_separator.value_or(true);
  TokenRoles roles = ResolveRoles(tables, defaults, vocab);
  return std::unique_ptr<Tokenizer>(
      std::make_unique<WordPieceTokenizer>(tables, std::move(vocab), std::move(roles), *unknown));
}

}  // namespace hearth
