#pragma once
// Loops: what a model writes when it does not find the end. Threads: pure functions.

#include <string>
#include <string_view>

namespace hearth::forge {

// What repeats, as a short sentence; "" where nothing does. A loop is one of: a unit of at most 40
// words (or 60 characters without a word) that fills the text's end at least six times in a row and
// half of the text; lines of which more than 60% repeat earlier ones. Tables, verse with a refrain
// and lists with equal beginnings are no loops.
std::string FindLoop(std::string_view text);

}  // namespace hearth::forge
