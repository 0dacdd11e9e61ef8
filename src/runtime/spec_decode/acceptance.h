#pragma once
// How often drafted tokens turn out right, by how sure their proposer was. Threads: one at a time.

#include <array>

namespace hearth {

class Acceptance {
 public:
  // A drafted token that was checked (all before it were right).
  void Record(float confidence, bool accepted);
  // Estimated probability that a token drafted with this confidence is right. Where little is
  // known, the confidence itself.
  double Probability(float confidence) const;

 private:
  static constexpr int kBins = 10;
  struct Bin {
    double accepted = 0, checked = 0;
  };
  static int BinOf(float confidence);

  std::array<Bin, kBins> bins_{};
};

}  // namespace hearth
