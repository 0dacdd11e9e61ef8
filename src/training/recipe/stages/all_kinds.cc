#include "training/recipe/stages/all_kinds.h"

#include "training/recipe/stages/kinds.h"

namespace hearth::forge {

StageKinds AllStageKinds() {
  return {&CurateStage(),       &GenerateStage(),  &SftStage(),        &LoraStage(),
          &DistillStage(),      &DraftHeadStage(), &DraftModelStage(), &ExportStage(),
          &MeasureDraftStage(), &EvaluateStage(),  &BenchStage()};
}

}  // namespace hearth::forge
