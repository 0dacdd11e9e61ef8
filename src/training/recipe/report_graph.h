#pragma once
// The stages of a run as a graph in SVG: inputs to the left of what is made of them.

#include <string>
#include <vector>

#include "training/recipe/ledger.h"

namespace hearth::forge {

// `states`: what is shown of each stage, e.g. "done". Colours are classes of the page.
std::string DrawGraph(const std::vector<StageRecord>& stages,
                      const std::vector<std::string>& states);

}  // namespace hearth::forge
