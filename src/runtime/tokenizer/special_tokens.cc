#include "runtime/tokenizer/special_tokens.h"

#include <algorithm>

#include "runtime/tokenizer/unicode.h"

namespace hearth {

SegmentedText::SegmentedText(std::span<const TextSegment> segments) {
  size_t end = 0;
  for (const TextSegment& segment : segments) {
    if (segment.text.empty()) continue;
    end += segment.text.size();
    if (stretches_.empty() || stretches_.back().trusted != segment.parse_special) {
      stretches_.push_back({end, segment.parse_special});
    } else {
      stretches_.back().end = end;
    }
  }
  if (segments.size() == 1) {
    text_ = segments[0].text;
    return;
  }
  joined_.reserve(end);
  for (const TextSegment& segment : segments) joined_ += segment.text;
  text_ = joined_;
}

SpecialTokens::SpecialTokens(const Vocab& vocab, bool unescape_spaces) {
  for (TokenId id = 0; id < vocab.size(); ++id) {
    const TokenType type = vocab.Type(id);
    const bool anywhere = type == TokenType::kUserDefined;
    if (!anywhere && type != TokenType::kControl && type != TokenType::kUnknown) continue;
    std::string text(vocab.Text(id));
    if (text.empty()) continue;
    if (anywhere && unescape_spaces) {
      for (size_t at = text.find(kSpaceMark); at != std::string::npos;
           at = text.find(kSpaceMark, at + 1)) {
        text.replace(at, kSpaceMark.size(), " ");
      }
    }
    starts_entry_[static_cast<unsigned char>(text[0])] = true;
    entries_.push_back({std::move(text), id, anywhere});
  }
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return a.text != b.text ? a.text < b.text : a.token < b.token;
  });
}

const SpecialTokens::Entry* SpecialTokens::LongestPrefix(std::string_view text,
                                                         size_t trusted_size) const {
  // [first, last) are the entries that agree with the text so far; being sorted, an entry that ends
  // here is the first of them.
  auto first = entries_.begin();
  auto last = entries_.end();
  const Entry* longest = nullptr;
  for (size_t size = 0; size < text.size() && first != last; ++size) {
    const auto next = static_cast<unsigned char>(text[size]);
    const auto byte_at = [size](const Entry& entry) {
      return size < entry.text.size() ? static_cast<unsigned char>(entry.text[size]) : -1;
    };
    first = std::partition_point(first, last,
                                 [&](const Entry& entry) { return byte_at(entry) < next; });
    last = std::partition_point(first, last,
                                [&](const Entry& entry) { return byte_at(entry) == next; });
    for (auto entry = first; entry != last && entry->text.size() == size + 1; ++entry) {
      if (!entry->anywhere && entry->text.size() > trusted_size) continue;
      longest = &*entry;
      break;
    }
  }
  return longest;
}

std::vector<SpecialTokens::Match> SpecialTokens::FindAll(const SegmentedText& segmented) const {
  std::vector<Match> matches;
  if (entries_.empty()) return matches;
  const std::string_view text = segmented.text();
  auto stretch = segmented.stretches().begin();
  for (size_t position = 0; position < text.size();) {
    if (!starts_entry_[static_cast<unsigned char>(text[position])]) {
      ++position;
      continue;
    }
    while (stretch->end <= position) ++stretch;
    const size_t trusted_size = stretch->trusted ? stretch->end - position : 0;
    const Entry* entry = LongestPrefix(text.substr(position), trusted_size);
    if (entry == nullptr) {
      ++position;
      continue;
    }
    matches.push_back({position, position + entry->text.size(), entry->token});
    position += entry->text.size();
  }
  return matches;
}

}  // namespace hearth
