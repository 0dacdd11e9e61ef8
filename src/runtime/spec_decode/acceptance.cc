#include "runtime/spec_decode/acceptance.h"

#include <algorithm>

namespace hearth {
namespace {

constexpr double kPriorWeight = 8;
// Old evidence fades, so that a change of subject is noticed.
constexpr double kMemory = 0.99;

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

}  // namespace hearth
