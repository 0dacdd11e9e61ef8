#pragma once
// Text and numbers for pages.

#include <cstdint>
#include <string>
#include <string_view>

namespace hearth::forge {

// Nothing in it can end an attribute or begin a tag. Control characters but newline and tab go.
std::string Escaped(std::string_view text);

// 12345678 -> "12,345,678", 0.00012345 -> "0.00012345": 5 digits that matter, as people read them.
std::string NumberText(double value);
// 4000 -> "1 h 6 min".
std::string DurationText(double seconds);
// 1536 -> "1.5 KiB".
std::string BytesText(int64_t bytes);
// Seconds since 1970 -> "2026-11-27 07:20 UTC"; "" for 0.
std::string TimeText(double unix_seconds);

}  // namespace hearth::forge
