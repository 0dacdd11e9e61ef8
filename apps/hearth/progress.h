#pragma once
// A progress bar on standard error for work that may take longer than a second. Nothing is shown
// when that is no terminal, nor for work that is over within 400 ms (HEARTH_PROGRESS_AFTER_MS, for
// tests). Threads: Update may come from one
// thread at a time; different threads in turn are fine.

#include <chrono>
#include <string>
#include <string_view>

namespace hearth {

// One line of at most `width` columns: label, bar, percentage, time left. `done` is 0 to 1
// (anything else is clamped).
std::string FormatProgress(std::string_view label, double done, double elapsed_s, int width);
// 59.6 -> "1m 00s", 4 -> "4s", 5400 -> "1h 30m".
std::string FormatDuration(double seconds);

class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ~ProgressBar();  // wipes the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Update(double done);
  void SetLabel(std::string label) { label_ = std::move(label); }
  // Wipes the line; a later Update shows it again.
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  bool enabled_;
  double quiet_s_;
  bool shown_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_drawn_{};
};

}  // namespace hearth
