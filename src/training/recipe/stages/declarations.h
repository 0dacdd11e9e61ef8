#pragma once
// What the kinds of stages that include torch read and write, apart from what they do: so that
// keys, documentation and recipes are checked without torch.

#include <vector>

#include "training/recipe/stage.h"

namespace hearth::forge {

const StageDeclaration& GenerateDeclaration();
const StageDeclaration& SftDeclaration();
const StageDeclaration& LoraDeclaration();
const StageDeclaration& DistillDeclaration();
const StageDeclaration& DraftHeadDeclaration();
const StageDeclaration& DraftModelDeclaration();
const StageDeclaration& ExportDeclaration();
const StageDeclaration& MeasureDraftDeclaration();

// Of all kinds, in the order of AllStageKinds.
std::vector<const StageDeclaration*> AllDeclarations();

}  // namespace hearth::forge
