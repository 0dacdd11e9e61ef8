#pragma once
// The inner half of the sandbox: what the cloned child does between its birth and the program's
// start. Split from sandbox.cc because it runs under other rules: after a clone in a process with
// threads only plain system calls are safe, no allocation, no locks.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace hearth {

// Everything the child needs, laid out before the clone.
struct SandboxPlan {
  const char* const* arguments = nullptr;    // null terminated; [0] is the program's path
  const char* const* environment = nullptr;  // null terminated
  struct File {
    const char* name;
    const char* data;
    size_t size;
  };
  const File* files = nullptr;
  size_t num_files = 0;
  const char* root_options = nullptr;    // of the tmpfs that becomes the root
  const char* folder_options = nullptr;  // of the tmpfs that becomes the working folder
  int64_t memory_bytes = 0;
  int64_t file_bytes = 0;
  int64_t cpu_s = 0;
  int max_processes = 0;
  int go_fd = -1;       // a byte: the user maps are written; a second: still there
  int output_fd = -1;   // becomes standard output
  int error_fd = -1;    // becomes standard error
  int status_fd = -1;   // takes SandboxReport structs
  int started_fd = -1;  // ends when the program takes the child's place
};

struct SandboxReport {
  enum Kind : int32_t {
    kSetupFailed,  // `step` and `value` (errno)
    kEnded,        // `value` is the wait status of the program
    kReady,        // pdeathsig is set: waits for the second byte
  };
  int32_t kind;
  int32_t value;
  char step[56];
};

// The user that the child is inside.
inline constexpr uid_t kSandboxUser = 1000;

// Flags for clone(2).
unsigned long SandboxCloneFlags();

// clone(2) as fork. Returns 0 in the child. Unlike fork() it takes none of the C library's locks.
pid_t RawClone(unsigned long flags);

// The child's life. Never returns.
[[noreturn]] void RunInsideSandbox(const SandboxPlan& plan);

}  // namespace hearth
