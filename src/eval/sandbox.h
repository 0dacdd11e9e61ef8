#pragma once
// Runs a program that nobody trusts, such as code a model wrote: on Linux, in namespaces of its own
// (user, mount, process, network, IPC), behind a system call filter and resource limits. It sees a
// read-only /usr and a temporary folder in memory that is gone afterwards; no network, no other
// processes, no home folders, no privileges. Works as root and as an ordinary user where the kernel
// allows user namespaces; Linux 5.14 or newer, x86-64 and AArch64.
// Source: namespaces(7), user_namespaces(7), pivot_root(2), seccomp(2).
// Threads: Run may be called from many threads at once. What runs dies with the thread that called.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace hearth {

struct SandboxLimits {
  double wall_s = 30;                          // then everything inside is killed
  double cpu_s = 10;                           // of one process; fractions count as a whole second
  int64_t memory_bytes = int64_t{1} << 30;     // of one process, and of all together
  int64_t folder_bytes = int64_t{64} << 20;    // what the temporary folder holds
  int64_t file_bytes = int64_t{32} << 20;      // of one file
  int max_processes = 32;                      // threads count too
  size_t max_output_bytes = size_t{64} << 10;  // of output and errors together; more ends it
};

struct SandboxTask {
  std::vector<std::string> command;  // an absolute path under /usr or /bin, then its arguments
  std::vector<std::pair<std::string, std::string>> files;  // name, content: in the working folder
  SandboxLimits limits;
};

struct SandboxOutcome {
  int exit_code = 0;
  int signal = 0;  // that ended it; 0: it ended by itself
  bool timed_out = false;
  bool too_much_output = false;
  bool too_much_memory = false;  // of all processes together; one alone fails to allocate
  std::string output;            // standard output
  std::string errors;            // standard error
  double seconds = 0;

  bool ok() const {
    return exit_code == 0 && signal == 0 && !timed_out && !too_much_output && !too_much_memory;
  }
};

// How it ended, one line: "exit code 1", "no end within 30 s".
std::string DescribeEnd(const SandboxOutcome& outcome, const SandboxLimits& limits);

class Sandbox {
 public:
  // Tries it out. Errors: kUnsupported or kPermission saying what the system refuses.
  static Result<Sandbox> Create();

  // Errors: kNotFound when the program is not there; kPermission, kIo or kResourceExhausted when
  // the sandbox itself could not be set up: nothing has run then.
  Result<SandboxOutcome> Run(const SandboxTask& task) const;

 private:
  Sandbox() = default;
};

}  // namespace hearth
