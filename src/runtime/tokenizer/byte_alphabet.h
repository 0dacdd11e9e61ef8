#pragma once
// GPT-2's alphabet: every byte written as one printable character. Bytes that are printable in
// Latin-1 stand for themselves, the others are U+0100, U+0101, ... in order ("G with dot", U+0120,
// is the space).
// Source: bytes_to_unicode() in https://github.com/openai/gpt-2/blob/master/src/encoder.py

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hearth {

// The character that stands for a byte, in UTF-8.
std::string_view ByteSpelling(uint8_t byte);

// The bytes a spelling stands for; nothing when a character is not of the alphabet.
std::optional<std::string> DecodeByteSpelling(std::string_view spelling);

}  // namespace hearth
