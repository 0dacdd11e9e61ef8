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

// How often one sequence's guesses turn out right, measured by what was expected of them: 1 where
// little is known, more for a sequence that does better than others.
class OwnAcceptance {
 public:
  // A guess that was thought to be right with `probability` was checked.
  void Record(double probability, bool accepted);
  // What others' probability is for this sequence.
  double Scaled(double probability) const;

 private:
  double accepted_ = 0, expected_ = 0;
};

}  // namespace hearth
