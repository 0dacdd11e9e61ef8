// A saved block comes back byte for byte; anything else about the file is refused by name.

#include "runtime/kv_cache/session_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <numeric>

namespace hearth {
namespace {

using ::testing::HasSubstr;

class SessionFileTest : public ::testing::TestWithParam<KvStorage> {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "session_file_test_" + std::to_string(::getpid()) + ".kv";
    key_ = {std::string(32, 'a'), "", "scalar", true, {3, 2, 64, GetParam()}};
    for (int block = 0; block < 2; ++block) {
      std::vector<TokenId>& tokens = tokens_.emplace_back(kKvBlockTokens);
      std::iota(tokens.begin(), tokens.end(), 1000 * block);
    }
  }
  void TearDown() override { std::filesystem::remove(path_); }

  KvCacheStorage Storage() {
    auto kv = KvCacheStorage::Create(key_.shape, 4);
    EXPECT_TRUE(kv);
    return std::move(*kv);
  }
  // All K and V of one block and layer.
  static std::span<std::byte> Layer(const KvCacheStorage& kv, int layer, BlockId block) {
    const KvShape& shape = kv.shape();
    const KvStorage storage = shape.storage_of(layer);
    return {kv.keys(layer, block, 0),
            (KeyBlockBytes(storage, shape.head_dim) + ValueBlockBytes(storage, shape.head_dim)) *
                static_cast<size_t>(shape.num_kv_heads)};
  }
  static void Fill(const KvCacheStorage& kv, BlockId block) {
    auto state = static_cast<uint32_t>(block) + 1;
    for (int layer = 0; layer < kv.shape().num_layers; ++layer) {
      for (std::byte& byte : Layer(kv, layer, block))
        byte = static_cast<std::byte>((state = state * 1664525u + 1013904223u) >> 24);
    }
  }
  // Blocks 3 and 1 of a storage; the second follows the first.
  void WriteTwo(const KvCacheStorage& kv) {
    const PublishedBlock blocks[] = {{3, -1, tokens_[0]}, {1, 0, tokens_[1]}};
    const Status written = WriteKvSession(path_, key_, kv, blocks);
    ASSERT_TRUE(written) << written.error().message;
  }
  void Flip(uint64_t offset) const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const auto byte = static_cast<char>(file.get() ^ 1);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
  }

  std::string path_;
  KvSessionKey key_;
  std::vector<std::vector<TokenId>> tokens_;
};

INSTANTIATE_TEST_SUITE_P(Types, SessionFileTest,
                         ::testing::Values(KvStorage::kF16, KvStorage::kInt8, KvStorage::kInt8Int4,
                                           KvStorage::kInt4));

TEST_P(SessionFileTest, BlocksComeBackByteForByte) {
  const KvCacheStorage kv = Storage();
  Fill(kv, 3);
  Fill(kv, 1);
  WriteTwo(kv);
  auto reader = KvSessionReader::Open(path_);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_TRUE(CheckSameKey(reader->head().key, key_));
  ASSERT_EQ(reader->head().blocks.size(), 2u);
  EXPECT_EQ(reader->head().blocks[0].parent, -1);
  EXPECT_EQ(reader->head().blocks[1].parent, 0);
  EXPECT_TRUE(std::ranges::equal(reader->head().blocks[1].tokens, tokens_[1]));
  KvCacheStorage restored = Storage();
  ASSERT_TRUE(reader->ReadNext(restored, 0));
  ASSERT_TRUE(reader->ReadNext(restored, 2));
  for (int layer = 0; layer < key_.shape.num_layers; ++layer) {
    EXPECT_TRUE(std::ranges::equal(Layer(restored, layer, 0), Layer(kv, layer, 3)));
    EXPECT_TRUE(std::ranges::equal(Layer(restored, layer, 2), Layer(kv, layer, 1)));
  }
}

TEST_P(SessionFileTest, ABlockCanBePassedOver) {
  const KvCacheStorage kv = Storage();
  Fill(kv, 1);
  WriteTwo(kv);
  auto reader = KvSessionReader::Open(path_);
  ASSERT_TRUE(reader);
  KvCacheStorage restored = Storage();
  reader->Skip();
  ASSERT_TRUE(reader->ReadNext(restored, 0));
  EXPECT_TRUE(std::ranges::equal(Layer(restored, 1, 0), Layer(kv, 1, 1)));
}

TEST_P(SessionFileTest, AnyDamagedByteIsFound) {
  const KvCacheStorage kv = Storage();
  const auto reads_whole = [&] {
    auto reader = KvSessionReader::Open(path_);
    if (!reader) return false;
    KvCacheStorage restored = Storage();
    return reader->ReadNext(restored, 0) && reader->ReadNext(restored, 1);
  };
  WriteTwo(kv);
  ASSERT_TRUE(reads_whole());
  const uint64_t size = std::filesystem::file_size(path_);
  const uint64_t head = kKvSessionHeaderBytes + 2 * 272;
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{8}, uint64_t{12}, uint64_t{16}, uint64_t{24}, uint64_t{40},
        uint64_t{160}, uint64_t{250}, head - 1, head, size / 2, size - 1}) {
    Flip(offset);
    EXPECT_FALSE(reads_whole()) << "byte " << offset;
    Flip(offset);
  }
  EXPECT_TRUE(reads_whole());
}

TEST_P(SessionFileTest, AShortenedFileIsRefusedBeforeAnythingIsRead) {
  WriteTwo(Storage());
  const uint64_t size = std::filesystem::file_size(path_);
  for (const uint64_t kept : {uint64_t{0}, uint64_t{100}, uint64_t{256}, uint64_t{300}, size - 1}) {
    std::filesystem::resize_file(path_, kept);
    const auto reader = KvSessionReader::Open(path_);
    ASSERT_FALSE(reader) << kept;
    EXPECT_EQ(reader.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(reader.error().message, HasSubstr(path_));
  }
}

TEST_P(SessionFileTest, EveryPartOfTheKeyIsCompared) {
  const auto message = [&](const auto& change) {
    KvSessionKey other = key_;
    change(other);
    const Status same = CheckSameKey(other, key_);
    return same ? std::string("same") : same.error().message;
  };
  EXPECT_EQ(message([](KvSessionKey&) {}), "same");
  EXPECT_THAT(message([](KvSessionKey& key) { key.model[0] = 'b'; }), HasSubstr("another model"));
  EXPECT_THAT(message([](KvSessionKey& key) { key.adapter = "f00"; }), HasSubstr("adapter f00"));
  EXPECT_THAT(message([](KvSessionKey& key) { key.kernels = "neon"; }), HasSubstr("neon kernels"));
  EXPECT_THAT(message([](KvSessionKey& key) { key.integer_activations = false; }),
              HasSubstr("f32 activations"));
  EXPECT_THAT(message([](KvSessionKey& key) {
                key.shape.storage =
                    key.shape.storage == KvStorage::kF16 ? KvStorage::kInt8 : KvStorage::kF16;
              }),
              HasSubstr("KV type"));
  EXPECT_THAT(message([](KvSessionKey& key) { ++key.shape.num_layers; }), HasSubstr("shape"));
  EXPECT_THAT(message([](KvSessionKey& key) { ++key.shape.num_kv_heads; }), HasSubstr("shape"));
  EXPECT_THAT(message([](KvSessionKey& key) { key.shape.head_dim = 96; }), HasSubstr("shape"));
}

TEST(SessionFile, WhatIsNoFileIsNamed) {
  const auto missing = KvSessionReader::Open("/nonexistent/a.kv");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  const auto folder = KvSessionReader::Open(::testing::TempDir());
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace hearth
