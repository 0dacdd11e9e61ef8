#pragma once
// The kinds of stages that recipes are made of, in the order of a run: data, training, measuring.

#include "training/recipe/stage.h"

namespace hearth::forge {

// Immutable, and there until the program ends.
StageKinds AllStageKinds();

}  // namespace hearth::forge
