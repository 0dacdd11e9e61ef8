#pragma once
// What a kind of stage reads and writes, for people: made of its declaration alone.

#include <string>
#include <vector>

#include "training/recipe/stage.h"

namespace hearth::forge {

// For a terminal.
std::string ExplainKind(const StageDeclaration& kind);
// One line per kind.
std::string ExplainKinds(const std::vector<const StageDeclaration*>& kinds);
// The part of docs/recipes.md about kinds: a section each, with tables.
std::string KindsAsMarkdown(const std::vector<const StageDeclaration*>& kinds);

}  // namespace hearth::forge
