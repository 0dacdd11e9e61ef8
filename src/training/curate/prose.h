#pragma once
// The prose of a text: what is left without code, markup and addresses. Threads: pure functions.

#include <string>
#include <string_view>

namespace hearth::forge {

// Without fenced and inline code, lines that look like code, URLs and tags; white space is kept
// where something stood, so that words do not run together.
std::string StripCode(std::string_view text);

// Does a single line read like source code, data or a formula rather than a sentence?
bool LooksLikeCode(std::string_view line);

}  // namespace hearth::forge
