#pragma once
// Keeps bad steps out of the weights: a loss or gradient that is no number, or a loss far above
// what it lately was, costs its step, and several in a row end the run, since a run that has come
// apart does not recover. A function of the figures it is shown, so that every process decides
// alike and a resumed run goes on as it would have. Threads: one at a time.

#include <array>
#include <cstdint>
#include <string>

namespace hearth::forge {

struct WatchdogOptions {
  // A loss above this many times the average of lately is a spike; 0: none is.
  double spike_factor = 3;
  int64_t settle_steps = 50;  // no spikes before, while the loss still falls fast
  // So many bad steps in a row end the run; 0: only skipped.
  int64_t patience = 5;
};

class Watchdog {
 public:
  explicit Watchdog(const WatchdogOptions& options) : options_(options) {}

  enum class Verdict { kGood, kSkip, kStop };
  // Of a step's mean loss and gradient norm, before the weights change.
  Verdict Judge(double loss, double gradient_norm);
  // Why the last step was not good, with its figures.
  const std::string& reason() const { return reason_; }
  int64_t skipped() const { return static_cast<int64_t>(state_[3]); }

  // For checkpoints: average, good steps, bad ones in a row, all bad ones.
  using State = std::array<double, 4>;
  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

 private:
  WatchdogOptions options_;
  State state_ = {};
  std::string reason_;
};

}  // namespace hearth::forge
