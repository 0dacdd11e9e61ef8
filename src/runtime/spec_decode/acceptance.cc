#include "runtime/spec_decode/acceptance.h"

#include <algorithm>

namespace hearth {
namespace {

constexpr double kPriorWeight = 8;
// Old evidence fades, so that a change of subject is noticed.
constexpr double kMemory = 0.99;
// One sequence changes its subject sooner than all of them together.
constexpr double kOwnMemory = 0.97;
constexpr double kOwnPriorWeight = 2;  // right guesses

}  // namespace

int Acceptance::BinOf(float confidence) {
  return std::clamp(static_cast<int>(confidence * kBins), 0, kBins - 1);
}

void Acceptance::Record(float confidence, bool accepted) {
  Bin& bin = bins_[BinOf(confidence)];
  bin.accepted = bin.accepted * kMemory + (accepted ? 1 : 0);
  bin.checked = bin.checked * kMemory + 1;
}

double Acceptance::Probability(float confidence) const {
  const Bin& bin = bins_[BinOf(confidence)];
  const double prior = std::clamp(static_cast<double>(confidence), 0.02, 0.98);
  return (bin.accepted + kPriorWeight * prior) / (bin.checked + kPriorWeight);
}

void OwnAcceptance::Record(double probability, bool accepted) {
  accepted_ = accepted_ * kOwnMemory + (accepted ? 1 : 0);
  expected_ = expected_ * kOwnMemory + probability;
}

double OwnAcceptance::Scaled(double probability) const {
  const double ratio = (accepted_ + kOwnPriorWeight) / (expected_ + kOwnPriorWeight);
  return std::min(probability * ratio, std::max(probability, 0.98));
}

}  // namespace hearth
