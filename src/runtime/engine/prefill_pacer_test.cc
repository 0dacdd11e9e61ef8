#include "runtime/engine/prefill_pacer.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

// A machine whose passes take `fixed_ms`, and `token_ms` for each prompt token.
void RunPasses(PrefillPacer& pacer, double fixed_ms, double token_ms, double target_ms) {
  for (int i = 0; i < 60; ++i) {
    const int tokens = pacer.TokensWithin(target_ms);
    pacer.Record(4, tokens, fixed_ms + token_ms * tokens);
  }
}

TEST(PrefillPacer, FillsAPassUpToItsTime) {
  PrefillPacer pacer;
  EXPECT_EQ(pacer.TokensWithin(120), PrefillPacer::kUnmeasured);
  pacer.Record(4, 0, 20);
  RunPasses(pacer, 20, 0.5, 120);
  EXPECT_NEAR(pacer.TokensWithin(120), 200, 5);
}

TEST(PrefillPacer, FindsTheSameWithoutHavingSeenAPassThatOnlyDecodes) {
  PrefillPacer pacer;
  RunPasses(pacer, 20, 0.5, 120);
  EXPECT_NEAR(pacer.TokensWithin(120), 200, 5);
}

TEST(PrefillPacer, FindsTheSameWhereDecodingWasDearerOnce) {
  PrefillPacer pacer;
  pacer.Record(16, 0, 70);
  RunPasses(pacer, 20, 0.5, 120);
  EXPECT_NEAR(pacer.TokensWithin(120), 200, 5);
}

TEST(PrefillPacer, ASlowMachineStillComputesItsPrompts) {
  PrefillPacer pacer;
  pacer.Record(4, 0, 500);
  RunPasses(pacer, 500, 20, 120);
  EXPECT_EQ(pacer.TokensWithin(120), PrefillPacer::kFewest);
}

TEST(PrefillPacer, FollowsTheLengthOfThePrompt) {
  PrefillPacer pacer;
  pacer.Record(1, 0, 20);
  RunPasses(pacer, 20, 0.5, 120);
  RunPasses(pacer, 20, 1, 120);  // attention over a long context
  EXPECT_NEAR(pacer.TokensWithin(120), 100, 5);
}

TEST(PrefillPacer, OnePassThatWasHeldUpChangesLittle) {
  PrefillPacer pacer;
  pacer.Record(1, 0, 20);
  RunPasses(pacer, 20, 0.5, 120);
  pacer.Record(1, 200, 5000);
  EXPECT_GT(pacer.TokensWithin(120), 140);
  pacer.Record(1, 3, 90);  // too few to tell
  pacer.Record(1, 200, -1);
  EXPECT_GT(pacer.TokensWithin(120), 140);
}

}  // namespace
}  // namespace hearth
