#include "training/trainer/signals.h"

#include <atomic>

namespace hearth::forge {
namespace {

std::atomic<bool> requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void Note(int) { requested.store(true); }

}  // namespace

StopSignals::StopSignals() {
  requested.store(false);
  struct sigaction action = {};
  action.sa_handler = Note;
  // Reads and waits go on; the next of its kind has the default action again.
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &old_interrupt_);
  sigaction(SIGTERM, &action, &old_terminate_);
}

StopSignals::~StopSignals() {
  sigaction(SIGINT, &old_interrupt_, nullptr);
  sigaction(SIGTERM, &old_terminate_, nullptr);
}

bool StopSignals::Requested() { return requested.load(); }

}  // namespace hearth::forge
