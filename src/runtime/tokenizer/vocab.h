#pragma once
// The token table: spellings, types, and the way back from a spelling to its id. Knows nothing of
// how text is split.
// Threads: immutable after construction, safe from many threads.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

// As stored in tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      // a mark of the prompt format; no text a user types may become one
  kUserDefined = 4,  // found in any text before it is split otherwise
  kUnused = 5,
  kByte = 6,  // "<0x41>"
};

class Vocab {
 public:
  // Longer spellings are refused: some searches below cost as much as the longest token for each
  // byte of text.
  static constexpr size_t kMaxTokenBytes = 4096;

  // Copies the spellings; the lowest id wins where two tokens share one. An empty `types` makes
  // every token normal.
  // Errors: kCorrupt (no tokens, over-long tokens, a bad number of types, unknown types, badly
  // spelled byte tokens).
  static Result<Vocab> Build(std::span<const std::string> texts, std::span<const int64_t> types);

  int size() const { return static_cast<int>(types_.size()); }
  bool Contains(int64_t id) const { return id >= 0 && id < size(); }
  std::string_view Text(TokenId id) const {
    return std::string_view(texts_).substr(offsets_[id], offsets_[id + 1] - offsets_[id]);
  }
  TokenType Type(TokenId id) const { return types_[id]; }
  void SetType(TokenId id, TokenType type) { types_[id] = type; }
  size_t max_token_bytes() const { return max_token_bytes_; }

  // An empty text finds nothing.
  std::optional<TokenId> Find(std::string_view text) const;
  // The same for a token that ordinary text may become: normal or user-defined.
  std::optional<TokenId> FindOrdinary(std::string_view text) const;
  bool IsOrdinary(TokenId id) const {
    return types_[id] == TokenType::kNormal || types_[id] == TokenType::kUserDefined;
  }
  // The byte that a token of type kByte stands for. Requires: that type.
  uint8_t ByteOf(TokenId id) const;
  // The token spelled "<0x41>" for a byte, whatever its type; and the same where that is kByte.
  std::optional<TokenId> FindByteSpelling(uint8_t byte) const;
  std::optional<TokenId> FindByte(uint8_t byte) const;

 private:
  void Index();

  std::string texts_;              // all spellings, one after another
  std::vector<uint32_t> offsets_;  // [size + 1], into texts_
  std::vector<TokenType> types_;   // [size]
  size_t max_token_bytes_ = 0;
  // Open addressing with linear probing, at most half full. A slot is 0 when empty, else the upper
  // half of the hash over id + 1.
  std::vector<uint64_t> slots_;
};

}  // namespace hearth
