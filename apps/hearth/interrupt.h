#pragma once
// Ctrl-C as a question that a loop asks, instead of the end of the program.

#include <csignal>

namespace hearth {

// While one exists, SIGINT sets a flag; afterwards it is what it was before. One at a time.
class InterruptGuard {
 public:
  // `once`: a second Ctrl-C ends the program, for when the first is not heard.
  explicit InterruptGuard(bool once);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static bool Requested();
  // Forgets an earlier Ctrl-C.
  static void Reset();

 private:
  struct sigaction previous_;
};

}  // namespace hearth
