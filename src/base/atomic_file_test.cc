#include "base/atomic_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace hearth {
namespace {

class AtomicFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "atomic_file_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    path_ = folder_ + "/out.bin";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  int NumFiles() const {
    return static_cast<int>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }
  static std::span<const std::byte> Bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  }

  std::string folder_, path_;
};

TEST_F(AtomicFileTest, TakesTheNameOnlyAtCommit) {
  auto file = AtomicFile::Create(path_);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE(file->Write(Bytes("abc")));
  ASSERT_TRUE(file->PadTo(8));
  EXPECT_FALSE(std::filesystem::exists(path_));
  ASSERT_TRUE(file->Commit());
  EXPECT_EQ(NumFiles(), 1);
  std::ifstream in(path_, std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), std::string("abc\0\0\0\0\0", 8));
}

TEST_F(AtomicFileTest, LeavesNothingBehindWithoutCommit) {
  {
    auto file = AtomicFile::Create(path_);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->Write(std::vector<std::byte>(3 << 20)));
  }
  EXPECT_EQ(NumFiles(), 0);
}

TEST_F(AtomicFileTest, NamesAMissingFolder) {
  auto file = AtomicFile::Create(folder_ + "/no/out.bin");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_NE(file.error().message.find(folder_ + "/no/out.bin"), std::string::npos);
}

TEST_F(AtomicFileTest, ReplacesWhatHadTheName) {
  std::ofstream(path_) << "old and longer";
  auto file = AtomicFile::Create(path_);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Write(Bytes("new")));
  ASSERT_TRUE(file->Commit());
  EXPECT_EQ(std::filesystem::file_size(path_), 3u);
}

}  // namespace
}  // namespace hearth
