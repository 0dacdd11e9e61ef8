#include "training/draft/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth::forge {
namespace {

using ::testing::ElementsAre;

TEST(ChooseVocabulary, TakesTheMostFrequentAndTheEndsThatOccur) {
  const std::vector<int64_t> counts = {5, 0, 9, 1, 4, 1, 0};
  EXPECT_THAT(ChooseVocabulary(counts, 3).token_ids, ElementsAre(0, 2, 4));
  EXPECT_DOUBLE_EQ(ChooseVocabulary(counts, 3).coverage, 18.0 / 20);
  // 6 never occurs, 3 does.
  EXPECT_THAT(ChooseVocabulary(counts, 3, {6, 3}).token_ids, ElementsAre(0, 2, 3));
  EXPECT_EQ(ChooseVocabulary(counts, 0).token_ids.size(), 7u);
  EXPECT_EQ(ChooseVocabulary(counts, 99).token_ids.size(), 7u);
}

TEST(CountLearnedTokens, LeavesOutWhatIsNotLearned) {
  auto writer = TokenStoreWriter::Create();
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->Append({{3, 1, 1, 2}, {0, 1, 1, 1}, 0}, 0));
  const auto store = writer->Finish();
  ASSERT_TRUE(store);
  EXPECT_THAT(CountLearnedTokens(*store, 4), ElementsAre(0, 2, 1, 0));
}

}  // namespace
}  // namespace hearth::forge
