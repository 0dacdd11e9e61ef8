// Model folders as they are met: other spellings of the same model convert to the same file,
// damaged and foreign ones are refused by name and leave no file behind.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "kit/convert.h"
#include "kit/testing/scratch_folder.h"
#include "runtime/gguf/gguf.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;
using hearth::testing::kConvertGoldens;
using hearth::testing::ReadBytes;
using hearth::testing::WriteBytes;
using ::testing::HasSubstr;

class ConvertFolderTest : public hearth::testing::ScratchFolderTest {
 protected:
  std::string Convert(const std::string& folder, const std::string& name) {
    const Status status = ConvertHuggingFace({folder, scratch_ + name, {}, {}});
    EXPECT_TRUE(status) << status.error().message;
    return scratch_ + name;
  }
  Error ConvertError(const std::string& folder) {
    const std::string path = scratch_ + "refused.gguf";
    const Status status = ConvertHuggingFace({folder, path, {}, {}});
    EXPECT_FALSE(status);
    EXPECT_FALSE(fs::exists(path));
    return status ? Error() : status.error();
  }
  static void Replace(const std::string& path, const std::string& from, const std::string& to) {
    std::string text = ReadBytes(path);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    WriteBytes(path, text.replace(at, from.size(), to));
  }
  // All but the name, which is the folder's.
  static void ExpectSameModel(const std::string& path, const std::string& other_path) {
    const auto file = GgufFile::Open(path), other = GgufFile::Open(other_path);
    ASSERT_TRUE(file && other);
    ASSERT_EQ(file->tensors().size(), other->tensors().size());
    for (const GgufTensor& tensor : file->tensors()) {
      const GgufTensor* same = other->FindTensor(tensor.name);
      ASSERT_NE(same, nullptr) << tensor.name;
      EXPECT_EQ(tensor.type, same->type) << tensor.name;
      EXPECT_EQ(tensor.shape, same->shape) << tensor.name;
      EXPECT_TRUE(std::ranges::equal(tensor.data, same->data)) << tensor.name;
    }
    ASSERT_EQ(file->metadata().size(), other->metadata().size());
    for (const auto& [key, value] : file->metadata()) {
      if (key == "general.name") continue;
      const auto same = other->metadata().find(key);
      ASSERT_NE(same, other->metadata().end()) << key;
      EXPECT_EQ(value.type, same->second.type) << key;
      if (const auto* array = std::get_if<GgufArray>(&value.value)) {
        EXPECT_EQ(array->values, std::get<GgufArray>(same->second.value).values) << key;
      } else {
        EXPECT_EQ(Scalar(value), Scalar(same->second)) << key;
      }
    }
  }

 private:
  static std::variant<int64_t, double, bool, std::string> Scalar(const GgufValue& value) {
    if (const auto* integer = std::get_if<int64_t>(&value.value)) return *integer;
    if (const auto* number = std::get_if<double>(&value.value)) return *number;
    if (const auto* flag = std::get_if<bool>(&value.value)) return *flag;
    return std::get<std::string>(value.value);
  }
};

TEST_F(ConvertFolderTest, ShardsAndOldLayoutAreTheSameModel) {
  ExpectSameModel(Convert(kConvertGoldens + "llama", "whole.gguf"),
                  Convert(kConvertGoldens + "llama-sharded", "sharded.gguf"));
}

TEST_F(ConvertFolderTest, BothLayoutsOfGemmasConfigAreTheSameModel) {
  const std::string old_layout = Convert(kConvertGoldens + "gemma3", "old.gguf");
  const std::string folder = CopyGolden("gemma3");
  fs::rename(folder + "/config.v5.json", folder + "/config.json");
  ExpectSameModel(old_layout, Convert(folder, "new.gguf"));
}

TEST_F(ConvertFolderTest, ChatTemplateComesFromEitherFile) {
  const std::string wanted = ReadBytes(kConvertGoldens + "llama/chat_template.jinja");
  ASSERT_THAT(wanted, HasSubstr("<|im_start|>assistant"));
  for (const char* name : {"llama", "qwen2"}) {
    const auto file = GgufFile::Open(Convert(kConvertGoldens + name, "model.gguf"));
    ASSERT_TRUE(file);
    EXPECT_EQ(file->GetString("tokenizer.chat_template").value_or(""), wanted) << name;
  }
  const auto file = GgufFile::Open(Convert(kConvertGoldens + "qwen3", "model.gguf"));
  ASSERT_TRUE(file);
  EXPECT_FALSE(file->Has("tokenizer.chat_template"));
}

// What the 4B model's config.json leaves out is the family's default.
TEST_F(ConvertFolderTest, GemmaSizesDefaultToTheFamilys) {
  const std::string folder = CopyGolden("gemma3");
  WriteBytes(folder + "/config.json",
             R"({"model_type": "gemma3", "eos_token_id": [1, 5], "text_config": {
      "model_type": "gemma3_text", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 7, "sliding_window": 16,
      "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}})");
  const auto file = GgufFile::Open(Convert(folder, "model.gguf"));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->GetInt("gemma3.attention.head_count").value_or(0), 8);
  EXPECT_EQ(file->GetInt("gemma3.attention.head_count_kv").value_or(0), 4);
  EXPECT_EQ(file->GetInt("gemma3.attention.key_length").value_or(0), 256);
  EXPECT_EQ(file->GetInt("gemma3.context_length").value_or(0), 131072);
}

TEST_F(ConvertFolderTest, MissingFilesAreNamed) {
  EXPECT_EQ(ConvertError(scratch_ + "nowhere").code, ErrorCode::kNotFound);
  const std::string folder = CopyGolden("llama-sharded");
  fs::remove(folder + "/model-00002-of-00002.safetensors");
  const Error no_shard = ConvertError(folder);
  EXPECT_EQ(no_shard.code, ErrorCode::kNotFound);
  EXPECT_THAT(no_shard.message, HasSubstr("model-00002-of-00002.safetensors"));
  const std::string other = CopyGolden("llama");
  fs::remove(other + "/tokenizer.json");
  const Error no_tokenizer = ConvertError(other);
  EXPECT_EQ(no_tokenizer.code, ErrorCode::kNotFound);
  EXPECT_THAT(no_tokenizer.message, HasSubstr("tokenizer"));
}

TEST_F(ConvertFolderTest, TruncatedWeightsAreCorrupt) {
  const std::string folder = CopyGolden("llama"), path = folder + "/model.safetensors";
  fs::resize_file(path, fs::file_size(path) - 1);
  const Error error = ConvertError(folder);
  EXPECT_EQ(error.code, ErrorCode::kCorrupt);
  EXPECT_THAT(error.message, HasSubstr("model.norm.weight"));  // the last in the file
}

TEST_F(ConvertFolderTest, ShardsOutsideTheFolderAreRefused) {
  const std::string folder = CopyGolden("llama-sharded");
  Replace(folder + "/model.safetensors.index.json", "model-00001-of-00002.safetensors",
          "../llama/model.safetensors");
  const Error error = ConvertError(folder);
  EXPECT_EQ(error.code, ErrorCode::kCorrupt);
  EXPECT_THAT(error.message, HasSubstr("../llama/model.safetensors"));
}

TEST_F(ConvertFolderTest, WhatHearthLacksIsRefusedByName) {
  const std::string folder = CopyGolden("qwen2"), config = folder + "/config.json",
                    good = ReadBytes(config);
  const auto refuse = [&](const std::string& from, const std::string& to,
                          const std::string& named) {
    Replace(config, from, to);
    const Error error = ConvertError(folder);
    EXPECT_EQ(error.code, ErrorCode::kUnsupported) << error.message;
    EXPECT_THAT(error.message, HasSubstr(named));
    WriteBytes(config, good);
  };
  refuse("\"qwen2\"", "\"mamba\"", "mamba");
  refuse("\"silu\"", "\"relu\"", "relu");
  refuse("\"rope_scaling\": null", R"("rope_scaling": {"rope_type": "yarn", "factor": 4.0})",
         "yarn");
  refuse("\"use_sliding_window\": false", R"("use_sliding_window": true, "sliding_window": 128)",
         "sliding window");
  refuse("\"rope_scaling\": null", R"("quantization_config": {"quant_method": "gptq"})",
         "quantization_config");
  Replace(folder + "/tokenizer.json", R"(\\p{N}| ?[^)", R"(\\p{N}{1,5}| ?[^)");
  const Error error = ConvertError(folder);
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_THAT(error.message, HasSubstr("{1,5}"));
}

TEST_F(ConvertFolderTest, DamagedJsonIsCorrupt) {
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"}) {
    const std::string folder = CopyGolden("llama");
    for (const char* text : {"{", "[]", "{\"model\": ", "{\"a\": \"\xFF\"}"}) {
      WriteBytes(folder + "/" + name, text);
      const Error error = ConvertError(folder);
      EXPECT_EQ(error.code, ErrorCode::kCorrupt) << text;
      EXPECT_THAT(error.message, HasSubstr(name)) << text;
    }
    fs::remove_all(folder);
  }
}

// A folder is hostile until proven otherwise: whatever bytes are changed, converting it gives an
// error or a file that opens.
TEST_F(ConvertFolderTest, ChangedBytesGiveAnErrorOrAFile) {
  std::mt19937 random(5);
  const auto below = [&](size_t limit) { return static_cast<size_t>(random() % limit); };
  constexpr std::string_view kBytes = "0123456789-.,:[]{}\"\\ntfe\xC3\xFF";
  for (const char* name :
       {"llama/config.json", "llama3/tokenizer.json", "llama-sharded/model.safetensors.index.json",
        "qwen2/tokenizer_config.json", "gemma3/config.json", "gemma3/tokenizer.model",
        "gemma3/tokenizer_config.json", "qwen3/model.safetensors"}) {
    const std::string folder = CopyGolden(fs::path(name).parent_path()), path = scratch_ + name;
    const std::string good = ReadBytes(path);
    const size_t changeable = std::min<size_t>(good.size(), 3000);
    int num_errors = 0;
    for (int round = 0; round < 40; ++round) {
      std::string bad = good;
      for (size_t change = 0; change <= below(3); ++change)
        bad[below(changeable)] = kBytes[below(kBytes.size())];
      WriteBytes(path, bad);
      const std::string output = scratch_ + "changed.gguf";
      const Status status = ConvertHuggingFace({folder, output, {}, {}});
      if (status) {
        EXPECT_TRUE(GgufFile::Open(output)) << name << ", round " << round;
        fs::remove(output);
      } else {
        EXPECT_FALSE(status.error().message.empty());
        EXPECT_FALSE(fs::exists(output));
        ++num_errors;
      }
    }
    EXPECT_GT(num_errors, 0) << name;
    fs::remove_all(folder);
  }
}

}  // namespace
}  // namespace hearth
