#pragma once
// What two conversations are compared by: a hash of the whole, and its words as hashes. Used for
// exact duplicates, near duplicates and decontamination, so that all three see the same text.
// Threads: pure functions.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "training/data/rows.h"

namespace hearth::forge {

// Lower case, composed (NFC) where it is not ASCII, white space runs as one space, none at the ends.
// Requires: UTF-8.
std::string NormalizeText(std::string_view text);

// The words of normalised text. A word is a run of letters, digits, `_` and anything beyond ASCII;
// each of + - * / % = < > & | ^ ~ # @ $ \ is a word of its own, so that sums and code which differ
// in an operator differ; other punctuation only separates.
struct Word {
  std::string_view text;
  bool is_operator = false;
};
// Calls visit(Word) for each.
template <typename Visit>
void ForEachWord(std::string_view normalized, Visit&& visit);

// A word's hash. The lowest bit tells operators.
using WordHash = uint64_t;
inline bool IsOperator(WordHash word) { return (word & 1) != 0; }
void AppendWordHashes(std::string_view normalized, std::vector<WordHash>& hashes);

struct TextHash {
  uint64_t low = 0, high = 0;
  auto operator<=>(const TextHash&) const = default;
};

struct ComparedText {
  TextHash hash;                      // of roles and normalised contents
  std::vector<WordHash> words;        // of all messages, one after the other
  std::vector<size_t> message_begins; // in words, one a message
  // The words of one message.
  std::span<const WordHash> Message(size_t index) const {
    const size_t end =
        index + 1 < message_begins.size() ? message_begins[index + 1] : words.size();
    return std::span(words).subspan(message_begins[index], end - message_begins[index]);
  }
};

ComparedText Compare(const Conversation& conversation);

// ---------------------------------------------------------------------------------------------

enum class CharKind : uint8_t { kSeparator, kWord, kOperator };
CharKind KindOfChar(unsigned char c);

template <typename Visit>
void ForEachWord(std::string_view normalized, Visit&& visit) {
  size_t i = 0;
  while (i < normalized.size()) {
    const CharKind kind = KindOfChar(static_cast<unsigned char>(normalized[i]));
    size_t end = i + 1;
    if (kind == CharKind::kWord) {
      while (end < normalized.size() &&
             KindOfChar(static_cast<unsigned char>(normalized[end])) == CharKind::kWord)
        ++end;
    }
    if (kind != CharKind::kSeparator)
      visit(Word{normalized.substr(i, end - i), kind == CharKind::kOperator});
    i = end;
  }
}

}  // namespace hearth::forge
