#pragma once
// Runs another program to its end, within a time limit, and keeps what it wrote.
// Threads: RunProcess may be called from one thread at a time of a process that starts no threads
// meanwhile; a program dies with the thread that started it.

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace hearth {

struct ProcessOptions {
  std::vector<std::string> command;  // the program's path, then its arguments
  std::vector<std::pair<std::string, std::string>> environment;  // added to ours, or instead
  double timeout_s = 600;
  size_t max_output_bytes = size_t{16}
                            << 20;  // of standard output; a program that writes more ends
  // Asked several times a second. True: the program gets SIGINT, so that it can save what it has,
  // and is killed when it has not ended `grace_s` later.
  std::function<bool()> should_stop;
  double grace_s = 30;
  // What it writes to standard error, as it comes.
  std::function<void(std::string_view)> on_error_output;
};

struct ProcessOutcome {
  int exit_code = 0;
  int signal = 0;  // that ended it; 0: it ended by itself
  bool timed_out = false;
  bool stopped = false;  // because should_stop said so, whatever its exit code
  bool too_much_output = false;
  std::string output;
  std::string error_tail;  // the last 4 KiB of standard error
  double seconds = 0;      // from its start to its end
  double peak_rss_mb = 0;  // the largest resident set of the program

  bool ok() const {
    return exit_code == 0 && signal == 0 && !timed_out && !stopped && !too_much_output;
  }
};

// Standard input is empty. At the time limit the program and all that it started are killed.
// Errors: kNotFound or kPermission when it cannot be started, naming it; kIo.
Result<ProcessOutcome> RunProcess(const ProcessOptions& options);

// How it ended, e.g. "killed by signal 4 (Illegal instruction)", "exit code 1: LAST LINE OF
// STANDARD ERROR", "no end within 900 s".
std::string DescribeEnd(const ProcessOutcome& outcome, double timeout_s);

// The path of a program: `name` itself when it has a slash, else the first executable file of that
// name in PATH. Errors: kNotFound.
Result<std::string> FindProgram(const std::string& name);

}  // namespace hearth
