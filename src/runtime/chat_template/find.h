#pragma once
// Searching bytes in time linear in their number, however repetitive they are.

#include <cstddef>
#include <optional>
#include <string_view>

namespace hearth::jinja {

// The first place at or after `from` where `needle` begins. An empty needle is found at `from`.
// Requires: from <= size.
std::optional<size_t> FindBytes(std::string_view haystack, std::string_view needle, size_t from);

// The last place where `needle` begins. An empty needle is found at the end.
std::optional<size_t> FindLastBytes(std::string_view haystack, std::string_view needle);

}  // namespace hearth::jinja
