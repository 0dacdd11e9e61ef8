#include "training/curate/repetition.h"

#include <algorithm>
#include <cctype>
#include <unordered_map>
#include <vector>

#include "training/curate/compared_text.h"

namespace hearth::forge {
namespace {

constexpr size_t kMinRepeats = 6;
constexpr size_t kMaxUnitWords = 40;
constexpr size_t kMinLines = 12;

// How many items at the end have period `period`: items[i] == items[i - period].
template <typename Items>
size_t PeriodicTail(const Items& items, size_t period) {
  size_t length = 0;
  while (length + period < items.size() &&
         items[items.size() - 1 - length] == items[items.size() - 1 - length - period])
    ++length;
  return length == 0 ? 0 : length + period;
}

std::string LineLoop(std::string_view text) {
  std::unordered_map<std::string_view, size_t> seen;
  size_t lines = 0, repeated = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.front())) != 0)
      line.remove_prefix(1);
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0)
      line.remove_suffix(1);
    // Brackets and rules of tables repeat in honest text.
    const auto letters = std::ranges::count_if(
        line, [](char c) { return std::isalpha(static_cast<unsigned char>(c)) || (c & 0x80); });
    if (letters < 4) continue;
    ++lines;
    if (seen[line]++ > 0) ++repeated;
  }
  if (lines >= kMinLines && repeated * 10 > lines * 6)
    return std::to_string(repeated) + " of " + std::to_string(lines) + " lines repeat earlier ones";
  return "";
}

}  // namespace

std::string FindLoop(std::string_view text) {
  // Characters: "aaaaaaaa", "hahahaha". Rulers (-----) are honest, so only letters and digits, and
  // long.
  constexpr size_t kMinCharTail = 40;
  for (size_t period = 1; period <= 4; ++period) {
    const size_t tail = PeriodicTail(text, period);
    const auto last = text.empty() ? ' ' : text.back();
    if (tail >= kMinCharTail && tail * 2 > text.size() &&
        std::isalpha(static_cast<unsigned char>(last)) != 0)
      return "\"" + std::string(text.substr(text.size() - period)) + "\" fills the end";
  }
  std::vector<WordHash> words;
  AppendWordHashes(NormalizeText(text), words);
  if (words.size() < kMinRepeats * 2) return "";
  const size_t longest = std::min(kMaxUnitWords, words.size() / kMinRepeats);
  // The last words may be cut off in the middle of a unit: any phase will do, the tail is periodic.
  // A cut-off word is not: leave out up to one.
  for (size_t drop = 0; drop <= 1; ++drop) {
    const std::span<const WordHash> rest(words.data(), words.size() - drop);
    for (size_t period = 1; period <= longest; ++period) {
      const size_t tail = PeriodicTail(rest, period);
      if (tail < period * kMinRepeats || tail * 2 < words.size() || tail < 2 * kMinRepeats) continue;
      // Digits and single operators alone are data.
      const bool operators = std::ranges::all_of(rest.last(period), IsOperator);
      if (operators) continue;
      return "the last " + std::to_string(tail) + " words repeat every " + std::to_string(period);
    }
  }
  return LineLoop(text);
}

}  // namespace hearth::forge
