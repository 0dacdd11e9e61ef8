#include "runtime/chat_template/find.h"

#include <cstring>
#include <vector>

namespace hearth::jinja {

std::optional<size_t> FindBytes(std::string_view haystack, std::string_view needle, size_t from) {
  if (needle.empty()) return from;
  if (needle.size() > haystack.size() - from) return std::nullopt;
  // memmem of glibc and musl is the two-way algorithm: linear, unlike std::string_view::find.
  const void* found =
      memmem(haystack.data() + from, haystack.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::nullopt;
  return static_cast<size_t>(static_cast<const char*>(found) - haystack.data());
}

std::optional<size_t> FindLastBytes(std::string_view haystack, std::string_view needle) {
  const size_t m = needle.size();
  if (m > haystack.size()) return std::nullopt;
  if (m == 0) return haystack.size();
  // Knuth-Morris-Pratt from the right: border[i] is the length of the longest proper border of the
  // last i bytes of needle.
  const auto needle_at = [&](size_t i) { return needle[m - 1 - i]; };
  std::vector<size_t> border(m + 1, 0);
  for (size_t i = 1, length = 0; i < m; ++i) {
    while (length > 0 && needle_at(i) != needle_at(length)) length = border[length];
    if (needle_at(i) == needle_at(length)) ++length;
    border[i + 1] = length;
  }
  size_t matched = 0;
  for (size_t pos = haystack.size(); pos-- > 0;) {
    while (matched > 0 && haystack[pos] != needle_at(matched)) matched = border[matched];
    if (haystack[pos] == needle_at(matched)) ++matched;
    if (matched == m) return pos;
  }
  return std::nullopt;
}

}  // namespace hearth::jinja
