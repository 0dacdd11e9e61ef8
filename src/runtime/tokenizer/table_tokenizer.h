#pragma once
// What the three kinds of tokenizer share: the vocabulary, the special tokens around and inside the
// text, and decoding. A kind adds how ordinary text is split and how an ordinary token reads.
// Threads: immutable after construction, safe from many threads.

#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/special_tokens.h"
#include "runtime/tokenizer/token_roles.h"
#include "runtime/tokenizer/tokenizer.h"
#include "runtime/tokenizer/tokenizer_tables.h"
#include "runtime/tokenizer/vocab.h"

namespace hearth {

class TableTokenizer : public Tokenizer {
 public:
  std::string TokenBytes(TokenId id, bool show_special) const final;
  std::string Decode(std::span<const TokenId> ids, bool show_special) const final;

  int vocab_size() const final { return vocab_.size(); }
  std::string_view TokenText(TokenId id) const final { return vocab_.Text(id); }
  std::optional<TokenId> FindToken(std::string_view text) const final { return vocab_.Find(text); }
  bool IsControl(TokenId id) const final { return vocab_.Type(id) == TokenType::kControl; }
  bool IsEndOfGeneration(TokenId id) const final {
    return roles_.ends_generation[static_cast<size_t>(id)];
  }
  std::optional<TokenId> bos() const final { return roles_.bos; }
  std::optional<TokenId> eos() const final { return roles_.eos; }
  bool adds_bos() const final { return roles_.adds_bos; }
  std::string_view model_name() const final { return model_; }
  std::string_view pre_name() const final { return pre_; }

 protected:
  struct Options {
    bool spaces_are_marks = false;  // spellings write a space as U+2581
  };
  TableTokenizer(const TokenizerTables& tables, Vocab vocab, TokenRoles roles, Options options);

  // Appends the tokens of a whole stretch between special tokens. `continues`: a user-defined
  // token, which is text too, stands before it. Requires: `text` is not empty.
  virtual void EncodeText(std::string_view text, bool continues,
                          std::vector<TokenId>& out) const = 0;
  // The bytes of a normal token, given its spelling.
  virtual std::string DecodeSpelling(std::string_view spelling) const = 0;

  std::vector<TokenId> EncodeSegments(std::span<const TextSegment> segments,
                                      bool add_special) const final;

  const Vocab& vocab() const { return vocab_; }

 private:
  std::string model_;
  std::string pre_;
  Vocab vocab_;
  TokenRoles roles_;
  Options options_;
  SpecialTokens special_tokens_;
};

// Spellings with U+2581 for a space, as text.
std::string SpaceMarksToSpaces(std::string_view spelling);

}  // namespace hearth
