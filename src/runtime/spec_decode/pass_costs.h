#pragma once
// What passes of few tokens cost, learned from those that were run. Threads: one at a time.

#include <array>

namespace hearth {

class PassCosts {
 public:
  static constexpr int kMaxTokens = 64;

  // A pass over `num_tokens` tokens took `ms`. Larger passes than kMaxTokens are not kept.
  void Record(int num_tokens, double ms);
  // Estimate: measured, between two measured ones, or from the nearest one by a usual slope.
  // Requires num_tokens >= 1.
  double Ms(int num_tokens) const;

 private:
  std::array<double, kMaxTokens + 1> ms_{};  // 0: not measured
};

}  // namespace hearth
