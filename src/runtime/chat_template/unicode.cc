#include "runtime/chat_template/unicode.h"

#include <algorithm>
#include <iterator>
#include <span>

namespace hearth::jinja {
namespace {

struct Range {
  uint32_t first, last;
};
// Every `step`-th code point of first..last maps to itself plus delta.
struct CaseRange {
  uint32_t first, last;
  uint32_t step;
  int32_t delta;
};
struct CaseSpecial {
  uint32_t code_point;
  uint32_t mapped[3];  // padded with 0
};

#include "runtime/chat_template/unicode_tables.inc"

template <typename T>
const T* FindRange(std::span<const T> ranges, uint32_t c) {
  auto it = std::upper_bound(ranges.begin(), ranges.end(), c,
                             [](uint32_t value, const T& range) { return value < range.first; });
  if (it == ranges.begin()) return nullptr;
  --it;
  return c <= it->last ? &*it : nullptr;
}

bool Contains(std::span<const Range> ranges, uint32_t c) { return FindRange(ranges, c) != nullptr; }

bool IsContinuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

constexpr uint32_t kEscapedByte = 0xDC00;

}  // namespace

CodePoint DecodeAt(std::string_view text, size_t pos) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const uint32_t first = byte(pos);
  if (first < 0x80) return {first, 1};
  const CodePoint invalid{kEscapedByte + first, 1};
  const size_t left = text.size() - pos;
  if (first >= 0xC2 && first <= 0xDF) {
    if (left < 2 || !IsContinuation(byte(pos + 1))) return invalid;
    return {(first & 0x1F) << 6 | (byte(pos + 1) & 0x3Fu), 2};
  }
  if (first >= 0xE0 && first <= 0xEF) {
    if (left < 3 || !IsContinuation(byte(pos + 1)) || !IsContinuation(byte(pos + 2))) {
      return invalid;
    }
    const uint32_t c =
        (first & 0x0F) << 12 | (byte(pos + 1) & 0x3Fu) << 6 | (byte(pos + 2) & 0x3Fu);
    if (c < 0x800 || (c >= 0xD800 && c < 0xE000)) return invalid;
    return {c, 3};
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (left < 4 || !IsContinuation(byte(pos + 1)) || !IsContinuation(byte(pos + 2)) ||
        !IsContinuation(byte(pos + 3))) {
      return invalid;
    }
    const uint32_t c = (first & 0x07) << 18 | (byte(pos + 1) & 0x3Fu) << 12 |
                       (byte(pos + 2) & 0x3Fu) << 6 | (byte(pos + 3) & 0x3Fu);
    if (c < 0x10000 || c > 0x10FFFF) return invalid;
    return {c, 4};
  }
  return invalid;
}

CodePoint DecodeBefore(std::string_view text, size_t end) {
  size_t start = end - 1;
  while (start > 0 && end - start < 4 && IsContinuation(static_cast<unsigned char>(text[start]))) {
    --start;
  }
  const CodePoint c = DecodeAt(text, start);
  if (start + c.size_bytes == end) return c;
  return {kEscapedByte + static_cast<unsigned char>(text[end - 1]), 1};
}

void AppendUtf8(uint32_t c, std::string& out) {
  if (c >= kEscapedByte + 0x80 && c <= kEscapedByte + 0xFF) {
    out.push_back(static_cast<char>(c - kEscapedByte));
    return;
  }
  if ((c >= 0xD800 && c < 0xE000) || c > 0x10FFFF) c = 0xFFFD;
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xC0 | c >> 6));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | c >> 12));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | c >> 18));
    out.push_back(static_cast<char>(0x80 | (c >> 12 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

size_t CountCodePoints(std::string_view text) {
  size_t count = 0;
  for (size_t pos = 0; pos < text.size(); ++count) pos += DecodeAt(text, pos).size_bytes;
  return count;
}

size_t ByteOffset(std::string_view text, size_t index) {
  size_t pos = 0;
  for (; index > 0 && pos < text.size(); --index) pos += DecodeAt(text, pos).size_bytes;
  return pos;
}

bool IsAlpha(uint32_t c) { return Contains(kAlpha, c); }
bool IsDecimal(uint32_t c) { return Contains(kDecimal, c); }
bool IsDigit(uint32_t c) { return Contains(kDigit, c); }
bool IsNumeric(uint32_t c) { return Contains(kNumeric, c); }
bool IsAlnum(uint32_t c) { return IsAlpha(c) || IsDecimal(c) || IsDigit(c) || IsNumeric(c); }
bool IsSpace(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F);
  return Contains(kSpace, c);
}
bool IsPrintable(uint32_t c) {
  if (c < 0x7F) return c >= 0x20;
  return Contains(kPrintable, c);
}
bool IsLower(uint32_t c) { return Contains(kLowercase, c); }
bool IsUpper(uint32_t c) { return Contains(kUppercase, c); }
bool IsTitlecase(uint32_t c) { return Contains(kTitlecase, c); }
bool IsIdentifierStart(uint32_t c) { return Contains(kIdentifierStart, c); }
bool IsIdentifierPart(uint32_t c) { return Contains(kIdentifierPart, c); }
bool IsLineBreak(uint32_t c) {
  return (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}
bool IsCased(uint32_t c) { return Contains(kCased, c); }
bool IsCaseIgnorable(uint32_t c) { return Contains(kCaseIgnorable, c); }

int MapCase(uint32_t c, Case to, uint32_t out[3]) {
  out[0] = c;
  if (c < 0x80) {
    if (to == Case::kLower && c >= 'A' && c <= 'Z') out[0] = c + ('a' - 'A');
    if (to != Case::kLower && c >= 'a' && c <= 'z') out[0] = c - ('a' - 'A');
    return 1;
  }
  std::span<const CaseRange> ranges = kLower;
  std::span<const CaseSpecial> specials = kLowerSpecial;
  if (to == Case::kUpper) {
    ranges = kUpper;
    specials = kUpperSpecial;
  } else if (to == Case::kTitle) {
    ranges = kTitle;
    specials = kTitleSpecial;
  }
  const auto special = std::lower_bound(
      specials.begin(), specials.end(), c,
      [](const CaseSpecial& entry, uint32_t value) { return entry.code_point < value; });
  if (special != specials.end() && special->code_point == c) {
    int count = 0;
    for (uint32_t mapped : special->mapped) {
      if (mapped != 0) out[count++] = mapped;
    }
    return count;
  }
  if (const CaseRange* range = FindRange(ranges, c);
      range != nullptr && (c - range->first) % range->step == 0) {
    out[0] = c + static_cast<uint32_t>(range->delta);
  }
  return 1;
}

int DecimalValue(uint32_t c) {
  // Unicode gives every script's ten decimal digits consecutive code points, but two sets can be
  // neighbours (the mathematical digits), so the value is the distance to the start of the range
  // modulo ten.
  const Range* range = FindRange(std::span<const Range>(kDecimal), c);
  return range == nullptr ? 0 : static_cast<int>((c - range->first) % 10);
}

}  // namespace hearth::jinja
