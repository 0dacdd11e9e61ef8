#pragma once
// Starts N copies of a program as the processes of one run, as torchrun would, without Python. No
// torch. Threads: one at a time.

#include <string>
#include <vector>

#include "base/result.h"

namespace hearth::forge {

struct LaunchOptions {
  int num_processes = 2;
  std::vector<std::string> command;  // program (found on PATH) and arguments
  // After SIGINT or SIGTERM, which are passed on, or when one copy failed, the others get this long
  // to end by themselves.
  int grace_s = 60;
};

// Sets RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT (and OMP_NUM_THREADS to a fair share
// of the cores, where it is not set) for each copy, and returns when all have ended. Output of the
// first is ours; of the others, what they say on stdout is dropped and what they say last on stderr
// is in the error, should they fail. Copies die with us.
// Errors: kNotFound where the program is not there; kInternal when a copy fails, naming it, its
// status and its last words, after the others were ended; kIo.
Status Launch(const LaunchOptions& options);

}  // namespace hearth::forge
