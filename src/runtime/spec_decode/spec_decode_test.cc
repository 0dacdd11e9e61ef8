#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/spec_decode/acceptance.h"
#include "runtime/spec_decode/ngram_proposer.h"
#include "runtime/spec_decode/pass_costs.h"
#include "runtime/spec_decode/speculator.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(PassCosts, EstimatesBetweenWhatWasMeasured) {
  PassCosts costs;
  EXPECT_GT(costs.Ms(4), costs.Ms(1));
  costs.Record(1, 10);
  costs.Record(5, 14);
  EXPECT_DOUBLE_EQ(costs.Ms(1), 10);
  EXPECT_DOUBLE_EQ(costs.Ms(3), 12);
  EXPECT_DOUBLE_EQ(costs.Ms(5), 14);
  EXPECT_GT(costs.Ms(8), 14);
}

TEST(PassCosts, ALargerPassIsNeverThoughtCheaper) {
  PassCosts costs;
  costs.Record(1, 10);
  costs.Record(4, 8);
  for (int n = 1; n < 6; ++n) EXPECT_LE(costs.Ms(n), costs.Ms(n + 1)) << n;
  EXPECT_DOUBLE_EQ(costs.Ms(1), 8);
}

TEST(PassCosts, AFirstPassThatWasHeldUpIsNotBelieved) {
  // Pages of the weights that are touched for the first time, a neighbour that took the core.
  PassCosts first;
  first.Record(1, 18);
  first.Record(1, 2);
  EXPECT_DOUBLE_EQ(first.Ms(1), 2);
  PassCosts wider;
  wider.Record(1, 2);
  wider.Record(2, 18);
  EXPECT_LT(wider.Ms(2), 3);
  wider.Record(2, 2.3);
  EXPECT_LT(wider.Ms(2), 2.7);
}

TEST(PassCosts, FollowsTheMachineAndDoubtsOutliers) {
  PassCosts costs;
  costs.Record(2, 10);
  costs.Record(2, 100);
  EXPECT_LT(costs.Ms(2), 13);
  for (int i = 0; i < 100; ++i) costs.Record(2, 12);
  EXPECT_NEAR(costs.Ms(2), 12, 0.1);
  costs.Record(1000, 1);
  costs.Record(0, 1);
  costs.Record(2, -1);
  EXPECT_NEAR(costs.Ms(2), 12, 0.1);
}

TEST(Acceptance, BeginsWithTheConfidenceAndLearns) {
  Acceptance acceptance;
  EXPECT_NEAR(acceptance.Probability(0.9f), 0.9, 0.01);
  for (int i = 0; i < 200; ++i) acceptance.Record(0.95f, i % 4 == 0);
  EXPECT_NEAR(acceptance.Probability(0.9f), 0.3, 0.1);
  EXPECT_NEAR(acceptance.Probability(0.5f), 0.5, 0.01);
}

// Takes so many guesses.
class TakeSome : public DraftBudget {
 public:
  explicit TakeSome(int count) : count_(count) {}
  bool WorthDrafting(const DraftCost&) override { return count_ > 0; }
  void Spent(double) override {}
  bool Take(float) override { return count_-- > 0; }

 private:
  int count_;
};

std::vector<TokenId> NgramDraft(NgramProposer& proposer, const std::vector<TokenId>& tokens,
                                int most) {
  TakeSome budget(most);
  const SamplingOptions sampling;
  Proposal proposal{1, tokens, &sampling, most, &budget, {}};
  Proposal* asked[] = {&proposal};
  proposer.Propose(asked);
  return proposal.draft;
}

TEST(NgramProposer, GuessesWhatFollowedLastTime) {
  NgramProposer proposer;
  EXPECT_THAT(NgramDraft(proposer, {1, 2, 3, 4, 5, 6, 1, 2, 3}, 5), ElementsAre(4, 5, 6, 1, 2));
  EXPECT_THAT(NgramDraft(proposer, {1, 2, 3, 4, 5, 6, 1, 2, 3, 9}, 5), IsEmpty());
}

TEST(NgramProposer, PrefersTheLatestOccurrence) {
  NgramProposer proposer;
  EXPECT_THAT(NgramDraft(proposer, {1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3}, 1), ElementsAre(5));
}

TEST(NgramProposer, AShortTextHasNothingToGuessFrom) {
  NgramProposer proposer;
  EXPECT_THAT(NgramDraft(proposer, {1, 1, 1}, 5), IsEmpty());
  EXPECT_THAT(NgramDraft(proposer, {1, 1, 1, 1}, 5), ElementsAre(1));
}

TEST(NgramProposer, ASequenceThatWasForgottenLeavesNothing) {
  NgramProposer proposer;
  NgramDraft(proposer, {1, 2, 3, 4, 5, 6}, 5);
  proposer.Forget(1);
  EXPECT_THAT(NgramDraft(proposer, {1, 2, 3, 9, 1, 2, 3}, 1), ElementsAre(9));
}

// Guesses token 7 for ever, at a cost and with a confidence that the test sets.
class Sevens : public Proposer {
 public:
  // `once_ms`: what it says it has to compute before it can guess.
  Sevens(double draft_ms, float confidence, double once_ms = 0)
      : draft_ms_(draft_ms), confidence_(confidence), once_ms_(once_ms) {}
  std::string_view name() const override { return "sevens"; }
  void Propose(std::span<Proposal*> proposals) override {
    const DraftCost cost{draft_ms_, static_cast<int>(proposals.size()), once_ms_};
    for (Proposal* proposal : proposals) {
      while (static_cast<int>(proposal->draft.size()) < proposal->max_draft &&
             proposal->budget->WorthDrafting(cost) && proposal->budget->Take(confidence_)) {
        proposal->draft.push_back(7);
      }
    }
  }
  void Forget(uint64_t) override {}

 private:
  double draft_ms_;
  float confidence_;
  double once_ms_;
};

// Guesses token 7 for ever and for nothing, as lookup does.
class FreeSevens : public Proposer {
 public:
  std::string_view name() const override { return "free sevens"; }
  void Propose(std::span<Proposal*> proposals) override {
    for (Proposal* proposal : proposals) {
      while (static_cast<int>(proposal->draft.size()) < proposal->max_draft &&
             proposal->budget->Take(0.9f)) {
        proposal->draft.push_back(7);
      }
    }
  }
  void Forget(uint64_t) override {}
};

// Drafted in each of `rounds` passes that take 10 ms and 0.5 ms for each further token, where
// `num_right` of the guesses are right.
std::vector<size_t> Drafted(Speculator& speculator, int rounds, size_t num_right) {
  const std::vector<TokenId> tokens = {1, 2, 3};
  const SamplingOptions sampling;
  std::vector<size_t> sizes;
  for (int round = 0; round < rounds; ++round) {
    DraftRequest request{1, tokens, &sampling, 16, 1000, {}};
    speculator.Draft({&request, 1});
    sizes.push_back(request.draft.size());
    const auto num_tokens = static_cast<int>(request.draft.size()) + 1;
    speculator.PassTook(num_tokens, 10 + 0.5 * (num_tokens - 1));
    const size_t right = std::min(num_right, request.draft.size());
    speculator.Verified(1, static_cast<int>(right), right < request.draft.size());
  }
  return sizes;
}

TEST(Speculator, DraftsAllItMayWhereGuessesAreCheapAndRight) {
  Speculator speculator({.max_draft = 5});
  speculator.Add(std::make_unique<Sevens>(0.5, 0.9f));
  EXPECT_EQ(Drafted(speculator, 50, 5).back(), 5u);
}

TEST(Speculator, StopsWhereGuessesAreDearAndWrong) {
  Speculator speculator({.max_draft = 5});
  speculator.Add(std::make_unique<Sevens>(4, 0.9f));
  const std::vector<size_t> sizes = Drafted(speculator, 300, 0);
  size_t late = 0;
  for (size_t i = 100; i < sizes.size(); ++i) late += sizes[i];
  EXPECT_LE(late, 6u) << "one probe in 61 passes";
  EXPECT_GE(late, 1u) << "and that one is made";
}

TEST(Speculator, FindsItsWayBackWhenGuessesTurnRight) {
  Speculator speculator({.max_draft = 5});
  speculator.Add(std::make_unique<Sevens>(1, 0.9f));
  Drafted(speculator, 100, 0);
  EXPECT_EQ(Drafted(speculator, 3000, 5).back(), 5u);
}

TEST(Speculator, WithoutAdaptingItAlwaysDraftsTheMost) {
  Speculator speculator({.max_draft = 3, .adaptive = false});
  speculator.Add(std::make_unique<Sevens>(100, 0.01f));
  EXPECT_THAT(Drafted(speculator, 4, 0), ElementsAre(3, 3, 3, 3));
}

TEST(Speculator, TheFirstProposerWithAGuessGuesses) {
  Speculator speculator({.max_draft = 2, .adaptive = false});
  speculator.Add(std::make_unique<NgramProposer>());
  speculator.Add(std::make_unique<Sevens>(1, 0.5f));
  const std::vector<TokenId> copied = {1, 2, 3, 4, 1, 2, 3}, fresh = {1, 2, 3, 4};
  const SamplingOptions sampling;
  DraftRequest requests[] = {{1, copied, &sampling, 5, 9, {}},
                             {2, fresh, &sampling, 5, 9, {}},
                             {3, fresh, &sampling, 0, 1, {}}};
  speculator.Draft(requests);
  EXPECT_THAT(requests[0].draft, ElementsAre(4, 1));
  EXPECT_THAT(requests[1].draft, ElementsAre(7, 7));
  EXPECT_THAT(requests[2].draft, IsEmpty());
}

// A sequence whose guesses are wrong stops guessing, though another's of the same proposer are
// always right.
TEST(Speculator, EachSequenceDraftsAsItsOwnGuessesFare) {
  Speculator speculator({.max_draft = 5});
  speculator.Add(std::make_unique<FreeSevens>());
  const std::vector<TokenId> tokens = {1, 2, 3};
  const SamplingOptions sampling;
  size_t late_right = 0, late_wrong = 0;
  for (int round = 0; round < 200; ++round) {
    DraftRequest requests[] = {{1, tokens, &sampling, 5, 1000, {}},
                               {2, tokens, &sampling, 5, 1000, {}}};
    speculator.Draft(requests);
    const size_t right = requests[0].draft.size(), wrong = requests[1].draft.size();
    const auto num_tokens = static_cast<int>(2 + right + wrong);
    speculator.PassTook(num_tokens, 10 + 4.0 * (num_tokens - 1));
    speculator.Verified(1, static_cast<int>(right), false);
    if (wrong > 0) speculator.Verified(2, 0, true);
    if (round < 100) continue;
    late_right += right;
    late_wrong += wrong;
  }
  EXPECT_EQ(late_right, 500u);
  EXPECT_LE(late_wrong, 4u) << "probes";
}

// Rounds of a pass that decodes `count` sequences; guesses in the last one.
size_t DraftedTogether(Speculator& speculator, uint64_t count) {
  const std::vector<TokenId> tokens = {1, 2, 3};
  const SamplingOptions sampling;
  size_t drafted = 0;
  for (int round = 0; round < 20; ++round) {
    std::vector<DraftRequest> requests;
    for (uint64_t i = 0; i < count; ++i) requests.push_back({i, tokens, &sampling, 1, 1000, {}});
    speculator.Draft(requests);
    drafted = 0;
    for (const DraftRequest& request : requests) drafted += request.draft.size();
    const auto num_tokens = static_cast<int>(count + drafted);
    speculator.PassTook(num_tokens, 10 + 0.5 * (num_tokens - 1));
    for (const DraftRequest& request : requests) {
      if (!request.draft.empty()) speculator.Verified(request.sequence, 1, false);
    }
  }
  return drafted;
}

// 4 ms a step are much for one of four sequences (a token more in a pass of 11.5 ms that gives
// four), but they work out four guesses.
TEST(Speculator, SequencesShareWhatADraftsPassCosts) {
  Speculator speculator({.max_draft = 1});
  speculator.Add(std::make_unique<Sevens>(4, 0.9f));
  EXPECT_EQ(DraftedTogether(speculator, 4), 4u);
}

TEST(Speculator, WhatADraftMustReadFirstHasToPayOverTheRestOfTheAnswer) {
  const std::vector<TokenId> tokens = {1, 2, 3};
  const SamplingOptions sampling;
  for (const int num_left : {3, 250}) {
    Speculator speculator({.max_draft = 5});
    speculator.Add(std::make_unique<Sevens>(1, 0.9f, 200));
    for (int n = 1; n < 8; ++n) speculator.PassTook(n, 10 + 0.5 * (n - 1));
    DraftRequest request{1, tokens, &sampling, 5, num_left, {}};
    speculator.Draft({&request, 1});
    EXPECT_EQ(request.draft.empty(), num_left == 3) << num_left;
  }
}

TEST(OwnAcceptance, IsOneWithNothingKnownAndFollowsTheSequence) {
  OwnAcceptance own;
  EXPECT_DOUBLE_EQ(own.Scaled(0.6), 0.6);
  for (int i = 0; i < 50; ++i) own.Record(0.6, false);
  EXPECT_LT(own.Scaled(0.6), 0.1);
  for (int i = 0; i < 200; ++i) own.Record(0.6, true);
  EXPECT_GT(own.Scaled(0.6), 0.9);
  EXPECT_LT(own.Scaled(0.9), 1);
}

}  // namespace
}  // namespace hearth
