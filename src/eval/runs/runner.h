#pragma once
// Runs the items of a suite, many at a time, so that their requests share the engine's batches.

#include <functional>
#include <vector>

#include "eval/runs/run_folder.h"
#include "eval/suites/suite.h"

namespace hearth::eval {

struct RunnerOptions {
  int parallel = 16;  // items under way at once; a suite may allow fewer
  StopCheck stop;     // no further item is begun once it says so
  // Finished and total, those of earlier starts among them. From one thread at a time.
  std::function<void(size_t, size_t)> on_progress;
};

// Every item, in the suite's order: from the folder what it holds, the rest is run and appended to
// it. `folder` null: nothing is kept. Errors: the first of Suite::Run (what finished before is in
// the folder); kCancelled when `stop` said so; those of RunFolder::Append.
Result<std::vector<ItemResult>> RunSuite(const Suite& suite, Answerer& model, RunFolder* folder,
                                         const RunnerOptions& options);

}  // namespace hearth::eval
