#pragma once
// The known name that somebody who wrote another one probably meant.

#include <span>
#include <string>
#include <string_view>

namespace hearth::forge {

// Letters to insert, delete, replace or swap with a neighbour between the two (optimal string
// alignment), on the first 64 bytes of each.
int EditDistance(std::string_view a, std::string_view b);

// The nearest of `names`, the first of several; "" when none is near: more than a third of the
// longer name's letters differ, and neither contains the other.
std::string NearestName(std::string_view name, std::span<const std::string> names);

// "; the nearest is NAME", or "" when none is near.
std::string NearestHint(std::string_view name, std::span<const std::string> names);

}  // namespace hearth::forge
