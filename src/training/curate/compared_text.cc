#include "training/curate/compared_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace hearth::forge {
namespace {

constexpr std::array<CharKind, 256> MakeKinds() {
  std::array<CharKind, 256> kinds{};
  for (int c = 0; c < 256; ++c) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c >= 0x80;
    kinds[static_cast<size_t>(c)] = word ? CharKind::kWord : CharKind::kSeparator;
  }
  for (const char c : std::string_view("+-*/%=<>&|^~#@$\\"))
    kinds[static_cast<unsigned char>(c)] = CharKind::kOperator;
  return kinds;
}
constexpr std::array<CharKind, 256> kKinds = MakeKinds();

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Appends text composed (NFC) and in lower case.
void AppendComposed(std::string_view text, std::string& out) {
  utf8proc_uint8_t* folded = nullptr;
  const utf8proc_ssize_t length = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
      static_cast<utf8proc_ssize_t>(text.size()), &folded,
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(folded, &std::free);
  // Only text that is not UTF-8 fails; it is compared as it stands.
  if (length < 0)
    out += text;
  else
    out.append(reinterpret_cast<const char*>(folded), static_cast<size_t>(length));
}

bool IsAscii(char c) { return (c & 0x80) == 0; }

// Only runs beyond ASCII need the tables, each with the letter before it that a mark may stand on.
std::string Composed(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  for (size_t i = 0; i < text.size();) {
    size_t begin = i;
    while (begin < text.size() && IsAscii(text[begin])) ++begin;
    if (begin < text.size() && begin > i) --begin;
    out += text.substr(i, begin - i);
    size_t end = begin + (begin < text.size() ? 1 : 0);
    while (end < text.size() && !IsAscii(text[end])) ++end;
    if (end > begin) AppendComposed(text.substr(begin, end - begin), out);
    i = end;
  }
  return out;
}

}  // namespace

CharKind KindOfChar(unsigned char c) { return kKinds[c]; }

std::string NormalizeText(std::string_view text) {
  std::string composed;
  const bool ascii = std::ranges::all_of(text, IsAscii);
  if (!ascii) {
    composed = Composed(text);
    text = composed;
  }
  std::string normalized(text.size(), '\0');
  size_t size = 0;
  bool space = true;  // none at the beginning
  for (char c : text) {
    if (IsSpace(c)) {
      if (!space) normalized[size++] = ' ';
      space = true;
      continue;
    }
    normalized[size++] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    space = false;
  }
  if (size > 0 && normalized[size - 1] == ' ') --size;
  normalized.resize(size);
  return normalized;
}

void AppendWordHashes(std::string_view normalized, std::vector<WordHash>& hashes) {
  ForEachWord(normalized, [&](const Word& word) {
    const uint64_t hash = XXH3_64bits(word.text.data(), word.text.size());
    hashes.push_back((hash & ~uint64_t{1}) | (word.is_operator ? 1 : 0));
  });
}

ComparedText Compare(const Conversation& conversation) {
  ComparedText compared;
  std::string whole;
  for (const Message& message : conversation.messages) {
    const std::string normalized = NormalizeText(message.content);
    compared.message_begins.push_back(compared.words.size());
    compared.words.reserve(compared.words.size() + normalized.size() / 4 + 1);
    AppendWordHashes(normalized, compared.words);
    // Separators that normalised text cannot contain.
    whole += message.role;
    whole += '\n';
    whole += normalized;
    whole += '\n';
  }
  const XXH128_hash_t hash = XXH3_128bits(whole.data(), whole.size());
  compared.hash = {hash.low64, hash.high64};
  return compared;
}

}  // namespace hearth::forge
