#pragma once
// A bench's report as JSON and as a table.

#include "apps/hearth/json_output.h"
#include "runtime/engine/bench.h"

namespace hearth {

Json BenchJson(const BenchReport& report);
void PrintBenchTable(const BenchReport& report);

}  // namespace hearth
