#include "training/curate/row_store.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace hearth::forge {
namespace {

TEST(RowStore, GivesBackWhatWasPutIn) {
  auto store = RowStore::Create(testing::TempDir());
  ASSERT_TRUE(store) << store.error().message;
  Conversation first{{{"user", "Hi\n\"you\""}, {"assistant", std::string("\0x", 2)}}};
  first.source = 3;
  first.line = 12345678901;
  Conversation second{{{"text", std::string(3 << 20, 'y')}}, RowFormat::kText};
  ASSERT_TRUE(store->Append(first));
  ASSERT_TRUE(store->Append(second));
  ASSERT_TRUE(store->Append(first));
  ASSERT_TRUE(store->Finish());
  ASSERT_EQ(store->size(), 3U);
  for (const uint32_t row : {2U, 0U}) {
    const Conversation read = store->Read(row);
    EXPECT_EQ(read.messages, first.messages);
    EXPECT_EQ(read.source, 3);
    EXPECT_EQ(read.line, 12345678901);
  }
  EXPECT_EQ(store->Read(1).messages, second.messages);
  EXPECT_EQ(store->Read(1).format, RowFormat::kText);
  EXPECT_TRUE(store->status());
}

// However a run ends, nothing of it is left.
TEST(RowStore, HasNoNameInItsFolder) {
  const std::string folder = testing::TempDir() + "hearth_row_store";
  std::filesystem::create_directories(folder);
  const auto store = RowStore::Create(folder);
  ASSERT_TRUE(store);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove_all(folder);
  EXPECT_FALSE(RowStore::Create(folder));
}

}  // namespace
}  // namespace hearth::forge
