#pragma once
// SIGINT and SIGTERM as a question asked between batches. Threads: Requested from any; one guard at
// a time in a program.

#include <csignal>

namespace hearth::forge {

// While it lives the first of either signal is only noted, and a second ends the program as usual.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  static bool Requested();

 private:
  struct sigaction old_interrupt_ = {}, old_terminate_ = {};
};

}  // namespace hearth::forge
