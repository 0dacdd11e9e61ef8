#include "runtime/tokenizer/vocab.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"
#include "runtime/tokenizer/hash.h"

namespace hearth {
namespace {

constexpr uint64_t kTagMask = 0xFFFFFFFF00000000;

std::optional<uint8_t> HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return std::nullopt;
}

// "<0x41>" is 0x41; anything else is nothing.
std::optional<uint8_t> ParseByteToken(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  const auto high = HexDigit(text[3]);
  const auto low = HexDigit(text[4]);
  if (!high || !low) return std::nullopt;
  return static_cast<uint8_t>(*high << 4 | *low);
}

}  // namespace

Result<Vocab> Vocab::Build(std::span<const std::string> texts, std::span<const int64_t> types) {
  if (texts.empty()) return MakeError(ErrorCode::kCorrupt, "tokenizer: the vocabulary is empty");
  if (texts.size() > std::numeric_limits<TokenId>::max() / 2) {
    return MakeError(ErrorCode::kCorrupt,
                     "tokenizer: " + std::to_string(texts.size()) + " tokens are too many");
  }
  if (!types.empty() && types.size() < texts.size()) {
    return MakeError(ErrorCode::kCorrupt, "tokenizer: " + std::to_string(types.size()) +
                                              " token types for " + std::to_string(texts.size()) +
                                              " tokens");
  }

  Vocab vocab;
  size_t total_bytes = 0;
  for (size_t id = 0; id < texts.size(); ++id) {
    if (texts[id].size() > kMaxTokenBytes) {
      return MakeError(ErrorCode::kCorrupt, "tokenizer: token " + std::to_string(id) + " is " +
                                                std::to_string(texts[id].size()) +
                                                " bytes long, more than " +
                                                std::to_string(kMaxTokenBytes));
    }
    total_bytes += texts[id].size();
    vocab.max_token_bytes_ = std::max(vocab.max_token_bytes_, texts[id].size());
  }
  if (total_bytes > std::numeric_limits<uint32_t>::max()) {
    return MakeError(ErrorCode::kCorrupt,
                     "tokenizer: the spellings take " + std::to_string(total_bytes) + " bytes");
  }

  vocab.texts_.reserve(total_bytes);
  vocab.offsets_.reserve(texts.size() + 1);
  vocab.offsets_.push_back(0);
  for (const std::string& text : texts) {
    vocab.texts_ += text;
    vocab.offsets_.push_back(static_cast<uint32_t>(vocab.texts_.size()));
  }

  vocab.types_.assign(texts.size(), TokenType::kNormal);
  for (size_t id = 0; id < texts.size() && !types.empty(); ++id) {
    const int64_t type = types[id];
    if (type < 0 || type > 6) {
      return MakeError(ErrorCode::kCorrupt, "tokenizer: token " + std::to_string(id) +
                                                " has type " + std::to_string(type));
    }
    // 0 is "undefined", which no text and no model uses.
    vocab.types_[id] = type == 0 ? TokenType::kUnused : static_cast<TokenType>(type);
    if (vocab.types_[id] == TokenType::kByte && !ParseByteToken(texts[id])) {
      return MakeError(ErrorCode::kCorrupt, "tokenizer: byte token " + std::to_string(id) +
                                                " is spelled '" + texts[id] + "'");
    }
  }
  vocab.Index();
  return vocab;
}

void Vocab::Index() {
  slots_.assign(std::bit_ceil(types_.size() * 2), 0);
  const size_t mask = slots_.size() - 1;
  for (TokenId id = 0; id < size(); ++id) {
    const std::string_view text = Text(id);
    if (text.empty()) continue;
    const uint64_t hash = HashBytes(text);
    const uint64_t tag = hash & kTagMask;
    size_t slot = hash & mask;
    bool duplicate = false;
    for (; slots_[slot] != 0 && !duplicate; slot = (slot + 1) & mask) {
      duplicate = (slots_[slot] & kTagMask) == tag &&
                  Text(static_cast<TokenId>(slots_[slot] & ~kTagMask) - 1) == text;
    }
    if (!duplicate) slots_[slot] = tag | static_cast<uint64_t>(id + 1);
  }
}

std::optional<TokenId> Vocab::Find(std::string_view text) const {
  if (text.empty() || text.size() > max_token_bytes_) return std::nullopt;
  const uint64_t hash = HashBytes(text);
  const uint64_t tag = hash & kTagMask;
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash & mask; slots_[slot] != 0; slot = (slot + 1) & mask) {
    if ((slots_[slot] & kTagMask) != tag) continue;
    const TokenId id = static_cast<TokenId>(slots_[slot] & ~kTagMask) - 1;
    if (Text(id) == text) return id;
  }
  return std::nullopt;
}

std::optional<TokenId> Vocab::FindOrdinary(std::string_view text) const {
  const auto id = Find(text);
  return id && IsOrdinary(*id) ? id : std::nullopt;
}

uint8_t Vocab::ByteOf(TokenId id) const {
  const auto byte = ParseByteToken(Text(id));
  HEARTH_DCHECK(byte.has_value());
  return byte.value_or(0);
}

std::optional<TokenId> Vocab::FindByteSpelling(uint8_t byte) const {
  constexpr char kDigits[] = "0123456789ABCDEF";
  const char text[] = {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
  return Find(std::string_view(text, sizeof(text)));
}

std::optional<TokenId> Vocab::FindByte(uint8_t byte) const {
  const auto id = FindByteSpelling(byte);
  return id && Type(*id) == TokenType::kByte ? id : std::nullopt;
}

}  // namespace hearth
