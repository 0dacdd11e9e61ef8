#pragma once
// Which kernel tables this CPU can run, and which one the process uses.

#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/kernels/kernels.h"

namespace hearth {

// Best last; "scalar" is always there.
std::vector<const KernelTable*> AvailableKernels();

// Errors: kInvalidArgument for a name nobody knows, kUnsupported for an instruction set this CPU or
// build lacks.
Result<const KernelTable*> FindKernels(const std::string& name);

// To be called once by main before anything runs kernels: reports a HEARTH_FORCE_ISA that cannot be
// honoured.
Status CheckForcedIsa();

}  // namespace hearth
