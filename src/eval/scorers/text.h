#pragma once
// Small questions about text that several scorers ask. ASCII rules throughout: what lies beyond is
// part of a word. Threads: pure functions.

#include <string>
#include <string_view>
#include <vector>

namespace hearth::eval {

bool IsDigit(char c);
bool IsWordChar(char c);  // letter, digit, underscore, or part of a character beyond ASCII
std::string ToLower(std::string_view text);
std::string_view Trim(std::string_view text);
std::vector<std::string_view> SplitLines(std::string_view text);  // without their ends
std::string ReplaceAll(std::string text, std::string_view from, std::string_view to);
// Where `word` stands with no word character on either side; npos.
size_t FindWord(std::string_view text, std::string_view word, size_t from = 0);
// At most `max_bytes` of it and "..." where there was more; never half a character.
std::string Shorten(std::string_view text, size_t max_bytes);

}  // namespace hearth::eval
