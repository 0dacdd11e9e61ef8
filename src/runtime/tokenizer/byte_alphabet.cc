#include "runtime/tokenizer/byte_alphabet.h"

#include "runtime/tokenizer/unicode.h"

namespace hearth {
namespace {

constexpr uint32_t kFirstShifted = 0x100;
constexpr uint32_t kAlphabetEnd = 0x144;  // 68 bytes are shifted

constexpr bool StandsForItself(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  struct Spelling {
    char bytes[2];
    uint8_t size;
  };
  std::array<Spelling, 256> spellings{};      // by byte
  std::array<int16_t, kAlphabetEnd> bytes{};  // by code point; -1 where none
};

constexpr Alphabet kAlphabet = [] {
  Alphabet alphabet;
  for (auto& byte : alphabet.bytes) byte = -1;
  uint32_t shifted = kFirstShifted;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const uint32_t code_point = StandsForItself(byte) ? byte : shifted++;
    alphabet.bytes[code_point] = static_cast<int16_t>(byte);
    auto& spelling = alphabet.spellings[byte];
    if (code_point < 0x80) {
      spelling = {{static_cast<char>(code_point), 0}, 1};
    } else {
      spelling = {{static_cast<char>(0xC0 | code_point >> 6),
                   static_cast<char>(0x80 | (code_point & 0x3F))},
                  2};
    }
  }
  return alphabet;
}();

}  // namespace

std::string_view ByteSpelling(uint8_t byte) {
  const auto& spelling = kAlphabet.spellings[byte];
  return {spelling.bytes, spelling.size};
}

std::optional<std::string> DecodeByteSpelling(std::string_view spelling) {
  std::string bytes;
  bytes.reserve(spelling.size());
  while (!spelling.empty()) {
    const Utf8Unit unit = DecodeUtf8(spelling);
    if (unit.kind != Utf8Unit::Kind::kValid || unit.code_point >= kAlphabetEnd ||
        kAlphabet.bytes[unit.code_point] < 0) {
      return std::nullopt;
    }
    bytes += static_cast<char>(kAlphabet.bytes[unit.code_point]);
    spelling.remove_prefix(unit.size_bytes);
  }
  return bytes;
}

}  // namespace hearth
