// Whole models out and in again: the runtime's logits are the decoder's, what training did not
// touch stays as it was, folders and files lead into each other.
#include "training/export/save_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/thread_pool.h"
#include "kit/convert.h"
#include "kit/json_file.h"
#include "kit/safetensors.h"
#include "runtime/model/decoder.h"
#include "runtime/model/testing/tiny_model.h"
#include "training/export/testing_adapters.h"

namespace hearth::forge {
namespace {

using hearth::testing::ReadBytes;
using testing::AttachWorkingLora;
using ::testing::Contains;
using testing::Difference;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kGoldenModels;
using testing::LoadDecoder;
using testing::LogitsOf;

class SaveModel : public hearth::testing::ScratchFolderTest {
 protected:
  static std::vector<int64_t> Tokens(int64_t count, int64_t vocab_size) {
    std::vector<int64_t> tokens;
    for (int64_t i = 0; i < count; ++i) tokens.push_back((i * 37 + 11) % vocab_size);
    return tokens;
  }

  // Logits of every token by the runtime, float activations, [tokens, vocab_size].
  static Tensor RuntimeLogits(const std::string& path, const std::vector<int64_t>& tokens) {
    const auto file = GgufFile::Open(path);
    ThreadPool pool(0);
    hearth::DecoderOptions options;
    options.integer_activations = false;
    options.max_logits = static_cast<int>(tokens.size());
    auto decoder = hearth::Decoder::Load(*file, pool, options);
    EXPECT_TRUE(decoder) << decoder.error().message;
    auto kv = KvCacheStorage::Create((*decoder)->kv_shape(KvStorage::kF16), 1);
    const int block = 0, count = static_cast<int>(tokens.size());
    const std::vector<TokenId> ids(tokens.begin(), tokens.end());
    const SequenceSlice slice{ids, 0, {&block, 1}, count};
    (*decoder)->Forward({&slice, 1}, *kv);
    const float* rows = (*decoder)->Logits(0, count);
    const auto stride = static_cast<int64_t>((*decoder)->logits_stride());
    return at::from_blob(const_cast<float*>(rows), {count, stride}, at::kFloat)
        .narrow(1, 0, (*decoder)->hparams().vocab_size)
        .clone();
  }

  static void ExpectAgrees(const std::string& path, const Decoder& decoder) {
    const auto tokens = Tokens(40, decoder.config().vocab_size);
    const Tensor expected = RuntimeLogits(path, tokens), logits = LogitsOf(decoder, tokens);
    const double spread = expected.std().item<double>();
    EXPECT_GT(spread, 1e-3);
    // The runtime keeps keys and values in F16; load_test.cc has the same bounds.
    EXPECT_LT((logits - expected).abs().max().item<double>(), 1e-2 * spread);
    EXPECT_LT((logits - expected).square().mean().sqrt().item<double>(), 1e-3 * spread);
  }

  std::string TinyGguf(const char* architecture, TensorType type, bool tied, bool factors) {
    hearth::testing::TinyModelOptions options;
    options.architecture = architecture;
    options.type = options.head_type = type;
    options.tied = tied;
    options.rope_factors = factors;
    const std::string path = scratch_ + "tiny.gguf";
    EXPECT_TRUE(WriteTinyModel(path, options));
    return path;
  }

  // Moves every weight a little, as training does.
  static void Perturb(const Decoder& decoder) {
    const at::NoGradGuard guard;
    SeedGenerator(at::kCPU, 3);
    for (const NamedTensor& parameter : decoder.Parameters()) {
      Tensor tensor = parameter.tensor;
      tensor.add_(at::randn(tensor.sizes()).mul_(0.02));
    }
  }

  static std::string SaveError(const Decoder& decoder, const std::string& source,
                               const std::string& path) {
    const Status status = SaveGguf(decoder, source, path, {TensorType::kF32});
    return status ? "" : status.error().message;
  }

  static void ExpectSameTensors(const std::string& left, const std::string& right) {
    const auto a = GgufFile::Open(left), b = GgufFile::Open(right);
    ASSERT_TRUE(a && b);
    EXPECT_EQ(a->tensors().size(), b->tensors().size());
    for (const GgufTensor& tensor : a->tensors()) {
      const GgufTensor* other = b->FindTensor(tensor.name);
      ASSERT_NE(other, nullptr) << tensor.name;
      EXPECT_EQ(tensor.type, other->type) << tensor.name;
      EXPECT_EQ(tensor.shape, other->shape) << tensor.name;
      EXPECT_TRUE(std::ranges::equal(tensor.data, other->data)) << tensor.name;
    }
  }

  static void ExpectSameKey(const GgufFile& a, const GgufFile& b, const std::string& key) {
    ASSERT_EQ(a.Has(key), b.Has(key)) << key;
    if (!a.Has(key)) return;
    const GgufValue &left = a.metadata().find(key)->second, &right = b.metadata().find(key)->second;
    ASSERT_EQ(left.value.index(), right.value.index()) << key;
    if (const auto* array = std::get_if<GgufArray>(&left.value)) {
      EXPECT_EQ(array->values, std::get<GgufArray>(right.value).values) << key;
    } else if (const auto* number = std::get_if<double>(&left.value)) {
      EXPECT_FLOAT_EQ(static_cast<float>(*number),
                      static_cast<float>(std::get<double>(right.value)))
          << key;
    } else if (const auto* text = std::get_if<std::string>(&left.value)) {
      EXPECT_EQ(*text, std::get<std::string>(right.value)) << key;
    }
  }
};

TEST_F(SaveModel, TheRuntimeComputesFromTheFileWhatTheDecoderComputes) {
  const struct {
    const char* architecture;
    bool tied, factors;
  } cases[] = {{"llama", true, false}, {"llama", false, true}, {"qwen2", false, false}};
  for (const auto& one : cases) {
    const std::string source = TinyGguf(one.architecture, TensorType::kQ8_0, one.tied, one.factors);
    const Decoder decoder = LoadDecoder(source);
    Perturb(decoder);
    const Status saved = SaveGguf(decoder, source, scratch_ + "out.gguf", {TensorType::kF32});
    ASSERT_TRUE(saved) << saved.error().message;
    ExpectAgrees(scratch_ + "out.gguf", decoder);
    const Decoder again = LoadDecoder(scratch_ + "out.gguf");
    const auto tokens = Tokens(20, decoder.config().vocab_size);
    EXPECT_EQ(Difference(LogitsOf(again, tokens), LogitsOf(decoder, tokens)), 0);
  }
}

TEST_F(SaveModel, TheSameFromFoldersOfHuggingFace) {
  for (const char* name : {"llama", "llama3", "qwen2"}) {
    const Decoder decoder = LoadDecoder(kGoldenModels + name);
    Perturb(decoder);
    const Status saved =
        SaveGguf(decoder, kGoldenModels + name, scratch_ + "out.gguf", {TensorType::kF32});
    ASSERT_TRUE(saved) << name << ": " << saved.error().message;
    ExpectAgrees(scratch_ + "out.gguf", decoder);
  }
}

TEST_F(SaveModel, FromAFolderItIsWhatTheConverterMakes) {
  for (const char* name : {"llama", "llama3", "qwen2"}) {
    ConvertOptions convert;
    convert.input_dir = kGoldenModels + name;
    convert.output_path = scratch_ + "converted.gguf";
    ASSERT_TRUE(ConvertHuggingFace(convert));
    const Decoder decoder = LoadDecoder(kGoldenModels + name);
    ASSERT_TRUE(SaveGguf(decoder, kGoldenModels + name, scratch_ + "out.gguf"));
    ExpectSameTensors(scratch_ + "converted.gguf", scratch_ + "out.gguf");
    const auto converted = GgufFile::Open(scratch_ + "converted.gguf");
    const auto saved = GgufFile::Open(scratch_ + "out.gguf");
    for (const auto& [key, value] : converted->metadata()) ExpectSameKey(*converted, *saved, key);
  }
}

TEST_F(SaveModel, WhatTrainingDidNotTouchKeepsItsBytes) {
  for (const TensorType type : {TensorType::kQ4_0, TensorType::kQ5_1, TensorType::kIQ4_NL}) {
    const std::string source = TinyGguf("llama", type, true, false);
    const Decoder decoder = LoadDecoder(source);
    ASSERT_TRUE(SaveGguf(decoder, source, scratch_ + "out.gguf"));
    ExpectSameTensors(source, scratch_ + "out.gguf");
    const auto before = GgufFile::Open(source), after = GgufFile::Open(scratch_ + "out.gguf");
    for (const auto& [key, value] : before->metadata()) ExpectSameKey(*before, *after, key);
    // One row is: the others of its tensor still keep theirs.
    at::NoGradGuard guard;
    Tensor up;
    for (const NamedTensor& parameter : decoder.Parameters()) {
      if (parameter.name == "model.layers.1.mlp.up_proj.weight") up = parameter.tensor;
    }
    up[3].add_(0.5);
    ASSERT_TRUE(SaveGguf(decoder, source, scratch_ + "out.gguf"));
    const auto changed = GgufFile::Open(scratch_ + "out.gguf");
    const GgufTensor *old_up = before->FindTensor("blk.1.ffn_up.weight"),
                     *new_up = changed->FindTensor("blk.1.ffn_up.weight");
    for (size_t row = 0; row < old_up->num_rows(); ++row) {
      const size_t bytes = old_up->row_bytes();
      EXPECT_EQ(std::ranges::equal(old_up->data.subspan(row * bytes, bytes),
                                   new_up->data.subspan(row * bytes, bytes)),
                row != 3);
    }
  }
}

TEST_F(SaveModel, TypesAreAsAsked) {
  const std::string source = TinyGguf("qwen2", TensorType::kF32, false, false);
  const Decoder decoder = LoadDecoder(source);
  GgufSaveOptions options;
  options.type = TensorType::kQ4_0;
  options.head_type = TensorType::kQ8_0;
  ASSERT_TRUE(SaveGguf(decoder, source, scratch_ + "out.gguf", options));
  const auto file = GgufFile::Open(scratch_ + "out.gguf");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->FindTensor("blk.0.attn_q.weight")->type, TensorType::kQ4_0);
  EXPECT_EQ(file->FindTensor("blk.0.attn_q.bias")->type, TensorType::kF32);
  EXPECT_EQ(file->FindTensor("output.weight")->type, TensorType::kQ8_0);
  EXPECT_EQ(file->FindTensor("token_embd.weight")->type, TensorType::kQ8_0);
  EXPECT_EQ(*file->GetInt("general.file_type"), 2);
}

TEST_F(SaveModel, WithoutASourceTheFileHasTheSizesAlone) {
  const Decoder decoder = LoadDecoder(kGoldenModels + "llama3");
  ASSERT_TRUE(SaveGguf(decoder, "", scratch_ + "out.gguf", {TensorType::kF32}));
  const Decoder again = LoadDecoder(scratch_ + "out.gguf");
  const auto tokens = Tokens(12, decoder.config().vocab_size);
  EXPECT_LT(Difference(LogitsOf(again, tokens), LogitsOf(decoder, tokens)), 1e-5);
}

TEST_F(SaveModel, WhatWouldBeWrongIsRefused) {
  const std::string source = TinyGguf("llama", TensorType::kF32, true, false);
  Decoder decoder = LoadDecoder(source);
  EXPECT_THAT(SaveError(decoder, kGoldenModels + "llama", scratch_ + "x.gguf"),
              HasSubstr("not of the decoder's shape"));
  EXPECT_THAT(SaveError(decoder, scratch_ + "nowhere.gguf", scratch_ + "x.gguf"),
              HasSubstr("nowhere.gguf"));
  AttachWorkingLora(decoder, {});
  EXPECT_THAT(SaveError(decoder, source, scratch_ + "x.gguf"), HasSubstr("adapter"));
  EXPECT_THAT(SaveFolder(decoder, source, scratch_ + "f").error().message, HasSubstr("adapter"));
  decoder.DetachLora();
  const at::NoGradGuard guard;
  Tensor(decoder.final_norm())[1] = std::nan("");
  EXPECT_THAT(SaveError(decoder, source, scratch_ + "x.gguf"), HasSubstr("output_norm.weight"));
  EXPECT_THAT(SaveFolder(decoder, source, scratch_ + "f").error().message,
              HasSubstr("model.norm.weight"));
  EXPECT_FALSE(std::filesystem::exists(scratch_ + "x.gguf"));
  EXPECT_FALSE(std::filesystem::exists(scratch_ + "f/config.json"));
}

TEST_F(SaveModel, AFolderOfAGgufFileIsTheSameModel) {
  for (const char* name : {"llama", "llama3", "qwen2"}) {
    ConvertOptions convert;
    convert.input_dir = kGoldenModels + name;
    convert.output_path = scratch_ + "a.gguf";
    ASSERT_TRUE(ConvertHuggingFace(convert));
    const Decoder decoder = LoadDecoder(scratch_ + "a.gguf");
    FolderSaveOptions options;
    options.type = TensorType::kF32;
    const std::string folder = scratch_ + "f-" + name;
    const auto saved = SaveFolder(decoder, scratch_ + "a.gguf", folder, options);
    ASSERT_TRUE(saved) << name << ": " << saved.error().message;
    EXPECT_THAT(saved->notes, ElementsAre());
    EXPECT_THAT(saved->files, Contains("tokenizer.json"));
    const Decoder again = LoadDecoder(folder);
    EXPECT_EQ(DifferenceOf(again.config(), decoder.config()), "");
    const auto tokens = Tokens(20, decoder.config().vocab_size);
    EXPECT_LT(Difference(LogitsOf(again, tokens), LogitsOf(decoder, tokens)), 1e-5);
    // And back: tokenizer, sizes and weights are those that were.
    convert.input_dir = folder;
    convert.output_path = scratch_ + "b.gguf";
    const Status back = ConvertHuggingFace(convert);
    ASSERT_TRUE(back) << name << ": " << back.error().message;
    const auto a = GgufFile::Open(scratch_ + "a.gguf"), b = GgufFile::Open(scratch_ + "b.gguf");
    for (const auto& [key, value] : a->metadata()) {
      if (key != "general.name") ExpectSameKey(*a, *b, key);
    }
  }
}

TEST_F(SaveModel, AFolderOfAFolderKeepsItsFiles) {
  const Decoder decoder = LoadDecoder(kGoldenModels + "llama");
  Perturb(decoder);
  FolderSaveOptions options;
  options.type = TensorType::kF32;
  options.max_file_bytes = 100000;
  const auto saved = SaveFolder(decoder, kGoldenModels + "llama", scratch_ + "f", options);
  ASSERT_TRUE(saved) << saved.error().message;
  EXPECT_THAT(saved->files, Contains("model.safetensors.index.json"));
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"})
    EXPECT_EQ(ReadBytes(scratch_ + "f/" + name), ReadBytes(kGoldenModels + "llama/" + name));
  const auto config = ReadJsonObject(scratch_ + "f/config.json");
  ASSERT_TRUE(config);
  EXPECT_EQ((*config)["dtype"], "float32");
  EXPECT_EQ((*config)["rope_parameters"]["rope_theta"], 100000.0);
  const Decoder again = LoadDecoder(scratch_ + "f");
  const auto tokens = Tokens(20, decoder.config().vocab_size);
  EXPECT_EQ(Difference(LogitsOf(again, tokens), LogitsOf(decoder, tokens)), 0);
  // In its own place, in another type, whole again.
  options = {};
  ASSERT_TRUE(SaveFolder(again, scratch_ + "f", scratch_ + "f", options));
  EXPECT_FALSE(std::filesystem::exists(scratch_ + "f/model.safetensors.index.json"));
  const auto checkpoint = Checkpoint::Open(scratch_ + "f");
  ASSERT_TRUE(checkpoint);
  EXPECT_EQ(checkpoint->tensors().begin()->second.type, TensorType::kBF16);
}

TEST_F(SaveModel, AMergedAdapterIsTheAppliedOne) {
  const std::string source = TinyGguf("llama", TensorType::kF32, false, false);
  Decoder decoder = LoadDecoder(source);
  LoraOptions lora;
  lora.rank = 8;
  lora.alpha = 4;  // large weights would magnify what F16 keys and values lose in the runtime
  AttachWorkingLora(decoder, lora);
  const auto tokens = Tokens(30, decoder.config().vocab_size);
  const Tensor applied = LogitsOf(decoder, tokens);
  decoder.MergeLora();
  ASSERT_TRUE(SaveGguf(decoder, source, scratch_ + "merged.gguf"));
  const double spread = applied.std().item<double>();
  EXPECT_LT(Difference(LogitsOf(LoadDecoder(scratch_ + "merged.gguf"), tokens), applied),
            1e-4 * spread);
  EXPECT_LT(Difference(RuntimeLogits(scratch_ + "merged.gguf", tokens), applied), 1e-2 * spread);
  EXPECT_GT(Difference(RuntimeLogits(source, tokens), applied), 1e-1 * spread);
}

}  // namespace
}  // namespace hearth::forge
