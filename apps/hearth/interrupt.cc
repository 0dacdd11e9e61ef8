#include "apps/hearth/interrupt.h"

namespace hearth {
namespace {

volatile std::sig_atomic_t requested = 0;

}  // namespace

InterruptGuard::InterruptGuard(bool once) {
  Reset();
  struct sigaction action {};
  action.sa_handler = [](int) { requested = 1; };
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: a read that waits for the keyboard is to come back.
  action.sa_flags = once ? static_cast<int>(SA_RESETHAND) : 0;
  sigaction(SIGINT, &action, &previous_);
}

InterruptGuard::~InterruptGuard() { sigaction(SIGINT, &previous_, nullptr); }

bool InterruptGuard::Requested() { return requested != 0; }
void InterruptGuard::Reset() { requested = 0; }

}  // namespace hearth
