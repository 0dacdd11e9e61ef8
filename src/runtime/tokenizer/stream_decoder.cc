#include "runtime/tokenizer/tokenizer.h"
#include "runtime/tokenizer/unicode.h"

namespace hearth {
namespace {

// Moves the whole characters at the front of `pending` into a string, broken ones as U+FFFD; keeps
// an unfinished one.
std::string TakeCharacters(std::string& pending) {
  std::string text;
  size_t position = 0;
  while (position < pending.size()) {
    const std::string_view rest = std::string_view(pending).substr(position);
    const Utf8Unit unit = DecodeUtf8(rest);
    if (unit.kind == Utf8Unit::Kind::kTruncated) break;
    if (unit.kind == Utf8Unit::Kind::kValid) {
      text += rest.substr(0, unit.size_bytes);
    } else {
      AppendUtf8(kReplacementCharacter, text);
    }
    position += unit.size_bytes;
  }
  pending.erase(0, position);
  return text;
}

}  // namespace

std::string StreamDecoder::Push(TokenId id) {
  std::string bytes = tokenizer_->TokenBytes(id, show_special_);
  if (at_start_ && !bytes.empty()) {
    at_start_ = false;
    if (tokenizer_->drops_leading_space() && bytes[0] == ' ') bytes.erase(0, 1);
  }
  pending_ += bytes;
  return TakeCharacters(pending_);
}

std::string StreamDecoder::Finish() {
  std::string text;
  if (!pending_.empty()) AppendUtf8(kReplacementCharacter, text);
  pending_.clear();
  return text;
}

}  // namespace hearth
