#pragma once
// One function per kind, each defined in the file of its name (sft and lora in fine_tune.cc, those
// of drafts in draft.cc).

#include "training/recipe/stage.h"

namespace hearth::forge {

const StageKind& CurateStage();
const StageKind& GenerateStage();
const StageKind& SftStage();
const StageKind& LoraStage();
const StageKind& DistillStage();
const StageKind& DraftHeadStage();
const StageKind& DraftModelStage();
const StageKind& ExportStage();
const StageKind& MeasureDraftStage();
const StageKind& EvaluateStage();
const StageKind& BenchStage();

}  // namespace hearth::forge
