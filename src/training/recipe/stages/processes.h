#pragma once
// A training stage in several processes, each with a GPU of its own (the key num_processes). The
// stage starts copies of this program as launcher.h does; each copy runs the same stage with the
// same inputs, and the trainer sums their gradients. Copy 0 writes the stage's outputs; what the
// others write goes away with the scratch folder. Includes no torch.

#include <string>

#include "training/recipe/stage.h"

namespace hearth::forge {

// Whether this process is to start copies: several are wanted, and it is none itself.
bool StartsCopies(const StageContext& context);

// Runs the stage in its copies. A stop (SIGINT, SIGTERM) reaches them, and what they keep in the
// scratch folder is there for the next time. Errors: those of the stage; kUnsupported where the
// context names no program to start; those of Launch.
Result<StageResult> RunInCopies(const StageKind& kind, const StageContext& context);

// What a copy does: the stage that `path`, a file of RunInCopies, describes. Errors: those of the
// stage; kCorrupt for a file that is none.
Status RunStageCopy(const StageKinds& kinds, const std::string& path);

}  // namespace hearth::forge
