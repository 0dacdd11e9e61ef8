#pragma once
// Perplexity and its standard error from log-probabilities, one pass.

#include <cmath>
#include <cstdint>

namespace hearth {

class ScoreSum {
 public:
  // Natural log of a token's probability.
  void Add(double log_probability) {
    ++count_;
    // Welford: the sum of squares would lose the variance of a long text.
    const double nll = -log_probability;
    const double delta = nll - mean_;
    mean_ += delta / static_cast<double>(count_);
    squares_ += delta * (nll - mean_);
  }

  int64_t count() const { return count_; }
  double MeanNll() const { return mean_; }
  double Perplexity() const { return std::exp(mean_); }
  // Of the perplexity: that of the mean, carried through exp. 0 below two tokens.
  double StandardError() const {
    if (count_ < 2) return 0;
    const auto n = static_cast<double>(count_);
    return Perplexity() * std::sqrt(squares_ / n / (n - 1));
  }

 private:
  int64_t count_ = 0;
  double mean_ = 0;
  double squares_ = 0;
};

}  // namespace hearth
