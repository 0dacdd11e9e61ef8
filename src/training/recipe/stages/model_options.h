#pragma once
// Where a stage's model runs, and in which type: the keys device and bf16. Includes torch.

#include <string>

#include "base/result.h"
#include "training/model/decoder.h"
#include "training/recipe/stage.h"

namespace hearth::forge {

// "auto", "bf16" or "f32", of the key bf16.
std::string DtypeName(const Parameters& parameters);
// The key device; for one of a stage's several processes (processes.h) its own GPU's name.
std::string DeviceNameOf(const Parameters& parameters);
// Errors: those of ParseDevice and ParseDtype.
Result<DecoderOptions> ModelOptionsOf(const Parameters& parameters);

// What did the work, for the ledger.
void SetDevice(const Parameters& parameters, StageResult& result);

}  // namespace hearth::forge
