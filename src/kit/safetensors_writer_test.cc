// Safetensors out: what the reader gives back, alignment, shards, what is refused.
#include "kit/safetensors_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "kit/json_file.h"
#include "kit/safetensors.h"
#include "kit/testing/scratch_folder.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SafetensorsOut : public testing::ScratchFolderTest {
 protected:
  // A tensor whose bytes are `fill`, given in two pieces.
  static void Add(SafetensorsWriter& writer, const std::string& name, TensorType type,
                  std::vector<uint64_t> shape, uint8_t fill, int64_t missing_bytes = 0) {
    int64_t bytes = InfoOf(type).block_bytes;
    for (const uint64_t extent : shape) bytes *= static_cast<int64_t>(extent);
    const std::vector<std::byte> data(static_cast<size_t>(bytes - missing_bytes),
                                      static_cast<std::byte>(fill));
    writer.AddTensor(name, type, std::move(shape),
                     [data](const SafetensorsWriter::TensorSink& sink) -> Status {
                       const std::span all(data);
                       HEARTH_RETURN_IF_ERROR(sink(all.first(1)));
                       return sink(all.subspan(1));
                     });
  }
};

TEST_F(SafetensorsOut, TheReaderGivesTheTensorsBack) {
  SafetensorsWriter writer;
  Add(writer, "half", TensorType::kF16, {3}, 1);  // six bytes: what follows would be misaligned
  Add(writer, "full", TensorType::kF32, {2, 5}, 2);
  Add(writer, "brain", TensorType::kBF16, {4, 1}, 3);
  double progress = 0;
  ASSERT_TRUE(writer.Write(scratch_ + "x.safetensors", [&](double done) { progress = done; }));
  EXPECT_EQ(progress, 1);
  const std::string bytes = testing::ReadBytes(scratch_ + "x.safetensors");
  EXPECT_EQ(bytes[8], '{');
  EXPECT_THAT(bytes, HasSubstr(R"("__metadata__":{"format":"pt"})"));
  const auto tensors = ParseSafetensors(std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(tensors) << tensors.error().message;
  ASSERT_EQ(tensors->size(), 3u);
  for (const SafeTensor& tensor : *tensors) {
    const auto place = reinterpret_cast<const char*>(tensor.data.data()) - bytes.data();
    EXPECT_EQ(place % InfoOf(tensor.type).block_bytes, 0) << tensor.name;
    const int fill = tensor.name == "half" ? 1 : tensor.name == "full" ? 2 : 3;
    EXPECT_EQ(static_cast<int>(tensor.data.front()), fill) << tensor.name;
    EXPECT_EQ(static_cast<int>(tensor.data.back()), fill) << tensor.name;
    if (tensor.name == "full") {
      EXPECT_THAT(tensor.shape, ElementsAre(2, 5));
    }
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  EXPECT_EQ(bytes.size(), 8 + header_bytes + writer.total_bytes());
}

TEST_F(SafetensorsOut, ShardsKeepToTheLimitAndOldWeightsGo) {
  SafetensorsWriter writer;
  for (const char* name : {"a", "b", "c"}) Add(writer, name, TensorType::kF32, {10}, 7);
  Add(writer, "large", TensorType::kF32, {100}, 7);
  testing::WriteBytes(scratch_ + "model.safetensors", "old");
  testing::WriteBytes(scratch_ + "tokenizer.json", "stays");
  const auto names = writer.WriteFolder(scratch_, 80);
  ASSERT_TRUE(names) << names.error().message;
  EXPECT_THAT(*names, ElementsAre("model-00001-of-00003.safetensors",
                                  "model-00002-of-00003.safetensors",
                                  "model-00003-of-00003.safetensors",
                                  "model.safetensors.index.json"));
  EXPECT_FALSE(std::filesystem::exists(scratch_ + "model.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(scratch_ + "tokenizer.json"));
  const auto index = ReadJsonObject(scratch_ + "model.safetensors.index.json");
  ASSERT_TRUE(index);
  EXPECT_EQ((*index)["metadata"]["total_size"], 4 * 130);
  EXPECT_EQ((*index)["weight_map"]["c"], "model-00002-of-00003.safetensors");
  const auto checkpoint = Checkpoint::Open(scratch_);
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->tensors().size(), 4u);

  const auto whole = writer.WriteFolder(scratch_, 1000);
  ASSERT_TRUE(whole);
  EXPECT_THAT(*whole, ElementsAre("model.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(scratch_ + "model.safetensors.index.json"));
  EXPECT_EQ(Checkpoint::Open(scratch_)->tensors().size(), 4u);
}

TEST_F(SafetensorsOut, AWrongNumberOfBytesIsNamedAndLeavesNoFile) {
  for (const int missing : {1, -1}) {
    SafetensorsWriter writer;
    Add(writer, "broken", TensorType::kF32, {4}, 0, missing);
    const Status status = writer.Write(scratch_ + "x.safetensors");
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, HasSubstr("tensor broken"));
    EXPECT_FALSE(std::filesystem::exists(scratch_ + "x.safetensors"));
  }
}

}  // namespace
}  // namespace hearth
