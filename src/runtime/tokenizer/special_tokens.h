#pragma once
// Finds the tokens that stand outside ordinary tokenisation: marks of the prompt format in trusted
// text, and user-defined tokens in any text. Threads: immutable after construction.

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/tokenizer.h"
#include "runtime/tokenizer/vocab.h"

namespace hearth {

// Several segments as one text that remembers which of its stretches are trusted
// (TextSegment::parse_special).
class SegmentedText {
 public:
  // The segments' text must outlive this.
  explicit SegmentedText(std::span<const TextSegment> segments);
  SegmentedText(const SegmentedText&) = delete;
  SegmentedText& operator=(const SegmentedText&) = delete;

  std::string_view text() const { return text_; }
  struct Stretch {
    size_t end;
    bool trusted;
  };
  // Neighbours differ in trust; the last ends at text().size(). Empty for an empty text.
  std::span<const Stretch> stretches() const { return stretches_; }

 private:
  std::string joined_;  // only where there is more than one segment
  std::string_view text_;
  std::vector<Stretch> stretches_;
};

class SpecialTokens {
 public:
  // `unescape_spaces`: user-defined tokens are spelled with U+2581 for a space (SentencePiece), and
  // found as a space.
  explicit SpecialTokens(const Vocab& vocab, bool unescape_spaces);

  struct Match {
    size_t begin;
    size_t end;
    TokenId token;
  };
  // Matches in order, none overlapping: the leftmost first, and there the longest. A match of a
  // control token lies wholly in trusted text. Costs at most the longest special token for each
  // byte of text.
  std::vector<Match> FindAll(const SegmentedText& text) const;

 private:
  struct Entry {
    std::string text;
    TokenId token;
    bool anywhere;  // found in untrusted text too
  };
  // The longest entry that `text` starts with; those that are not `anywhere` only up to
  // `trusted_size`.
  const Entry* LongestPrefix(std::string_view text, size_t trusted_size) const;

  std::vector<Entry> entries_;            // sorted by text
  std::array<bool, 256> starts_entry_{};  // by first byte
};

}  // namespace hearth
