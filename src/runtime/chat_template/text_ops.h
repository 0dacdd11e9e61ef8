#pragma once
// The methods of Python's str over Text. Provenance goes with the characters.
// Indices are code points for callers and bytes here; each function says which.

#include <cstdint>
#include <optional>
#include <string_view>

#include "runtime/chat_template/runtime.h"
#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {

enum class Side { kLeft, kRight, kBoth };

// strip(): without the characters of `chars` (Python's blanks if null) on that side.
Text Strip(const Text& text, const Text* chars, Side side);

// lower(), upper(), and title case of every character.
Result<Text> ChangeCase(Runtime& rt, const Text& text, Case to);
// capitalize(): the first character in title case, the rest lower.
Result<Text> Capitalize(Runtime& rt, const Text& text);
// str.title(): each run of letters capitalized.
Result<Text> TitleWords(Runtime& rt, const Text& text);

// replace(old, replacement, count); count < 0 means all.
Result<Text> Replace(Runtime& rt, const Text& text, const Text& old, const Text& replacement,
                     int64_t count);

// split() and rsplit(): at `separator`, or at runs of blanks if null; at most `limit` cuts if that
// is not negative. Lists of strings. Requires: the separator is not empty.
Result<Array> Split(Runtime& rt, const Text& text, const Text* separator, int64_t limit);
Result<Array> SplitFromRight(Runtime& rt, const Text& text, const Text* separator, int64_t limit);
Result<Array> SplitLines(Runtime& rt, const Text& text, bool keep_ends);

// Pads to `width` code points with `fill` before, after, or around as center() does.
Result<Text> Pad(Runtime& rt, const Text& text, int64_t width, const Text& fill, Side text_stays);

// text[start:stop:step] in code points, with Python's rules for negative and missing bounds.
struct SliceBounds {
  std::optional<int64_t> start, stop;
  int64_t step = 1;  // not 0
};
Result<Text> SliceText(Runtime& rt, const Text& text, const SliceBounds& bounds);
// The indices that such a slice picks out of `length` items: from `first` to before `stop`, `count`
// of them.
struct SliceIndices {
  int64_t first = 0, stop = 0, step = 1, count = 0;
};
SliceIndices ResolveSlice(const SliceBounds& bounds, int64_t length);

Result<Text> Reverse(Runtime& rt, const Text& text);

// All code points satisfy it, and there is one.
bool AllOf(std::string_view text, bool (*predicate)(uint32_t));
// isupper() / islower(): there is a cased character and none of another case. istitle() likewise.
bool IsUpperText(std::string_view text);
bool IsLowerText(std::string_view text);
bool IsTitleText(std::string_view text);

}  // namespace hearth::jinja
