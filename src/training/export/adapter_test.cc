// Adapters against peft (tests/golden/peft_adapter), through PEFT's folders and GGUF files, and
// what is refused.
#include "training/export/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>

#include "kit/json_file.h"
#include "kit/safetensors.h"
#include "kit/safetensors_writer.h"
#include "kit/testing/golden_lines.h"
#include "runtime/quant/quant.h"
#include "training/export/gguf_tensors.h"
#include "training/export/save_model.h"
#include "training/export/testing_adapters.h"

namespace hearth::forge {
namespace {

using testing::AttachWorkingLora;
using testing::Difference;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::LoadDecoder;
using testing::LogitsOf;

const std::string kGoldens = "tests/golden/peft_adapter/";
const std::vector<int64_t> kTokens = {5, 9, 11, 12, 40, 41, 7, 100, 3, 250, 77, 6};

class PeftGolden : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Models, PeftGolden, ::testing::Values("llama", "qwen2"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(PeftGolden, AnAdapterSavedByPeftGivesPeftsLogits) {
  const std::string name = GetParam();
  Decoder decoder = LoadDecoder(testing::kGoldenModels + name);
  const auto base = LoadPeftAdapter(decoder, kGoldens + name);
  ASSERT_TRUE(base) << base.error().message;
  EXPECT_EQ(*base, name);
  std::vector<int64_t> tokens;
  int sequences = 0;
  for (const auto& [kind, text] :
       hearth::testing::ReadGoldenLines(kGoldens + name + "/logits.txt")) {
    if (kind == "sequence") {
      tokens = hearth::testing::Numbers<int64_t>(text);
      continue;
    }
    const Tensor expected = at::tensor(hearth::testing::Numbers<float>(text));
    const Tensor logits = LogitsOf(decoder, tokens)[static_cast<int64_t>(tokens.size()) - 1];
    EXPECT_LT(Difference(logits, expected), 2e-5);
    // The adapter is what is tested: without it the logits are others, unless it was not invoked.
    const auto* lora = decoder.lora();
    const bool active =
        testing::AdapterMask(tokens, lora->invocation_tokens).sum().item<int64_t>() > 0;
    Decoder plain = LoadDecoder(testing::kGoldenModels + name);
    const double change =
        Difference(LogitsOf(plain, tokens)[static_cast<int64_t>(tokens.size()) - 1], expected);
    EXPECT_EQ(change > 1e-2, active) << change;
    ++sequences;
  }
  EXPECT_EQ(sequences, 2);
}

TEST_P(PeftGolden, SettingsAreReadAsPeftWroteThem) {
  const std::string name = GetParam();
  const auto adapter =
      ReadPeftAdapter(kGoldens + name, *ConfigFromFolder(testing::kGoldenModels + name));
  ASSERT_TRUE(adapter) << adapter.error().message;
  const LoraOptions& options = adapter->options;
  if (name == "llama") {
    EXPECT_EQ(options.rank, 4);
    EXPECT_EQ(options.alpha, 8);
    EXPECT_TRUE(options.rs_lora);
    EXPECT_THAT(options.invocation_tokens, ElementsAre(11, 12));
    EXPECT_THAT(options.targets, ElementsAre("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj",
                                             "up_proj", "down_proj"));
  } else {
    EXPECT_EQ(options.rank, 3);
    EXPECT_FALSE(options.rs_lora);
    EXPECT_EQ(options.dropout, 0.1);
    EXPECT_THAT(options.invocation_tokens, ElementsAre());
    EXPECT_THAT(options.targets, ElementsAre("q_proj", "v_proj", "down_proj"));
  }
}

class AdapterFiles : public hearth::testing::ScratchFolderTest {
 protected:
  // A folder with an adapter of rank 4 for the golden llama.
  std::string SavedAdapter(const AdapterSaveOptions& options = {}) {
    Decoder decoder = LoadDecoder(testing::kGoldenModels + "llama");
    LoraOptions lora;
    lora.rank = 4;
    lora.alpha = 8;
    lora.targets = {"q_proj", "down_proj"};
    AttachWorkingLora(decoder, lora);
    const Status saved = SavePeftAdapter(AdapterOf(decoder), scratch_ + "adapter", options);
    EXPECT_TRUE(saved) << saved.error().message;
    return scratch_ + "adapter";
  }

  // Writes the folder's tensors anew, each as `change` makes it (undefined: left out).
  void Rewrite(const std::string& folder,
               const std::function<Tensor(const std::string&, Tensor)>& change,
               const std::vector<NamedTensor>& more = {}) {
    const auto adapter =
        ReadPeftAdapter(folder, *ConfigFromFolder(testing::kGoldenModels + "llama"));
    ASSERT_TRUE(adapter) << adapter.error().message;
    auto tensors = adapter->tensors;
    tensors.insert(tensors.end(), more.begin(), more.end());
    SafetensorsWriter writer;
    for (const NamedTensor& tensor : tensors) {
      const Tensor changed = change(tensor.name, tensor.tensor);
      if (!changed.defined()) continue;
      // As they are: what is written for tests may be broken.
      const Tensor values = changed.contiguous();
      const std::vector<std::byte> bytes(
          reinterpret_cast<const std::byte*>(values.data_ptr<float>()),
          reinterpret_cast<const std::byte*>(values.data_ptr<float>() + values.numel()));
      writer.AddTensor(tensor.name, TensorType::kF32,
                       {values.sizes().begin(), values.sizes().end()},
                       [bytes](const auto& sink) { return sink(bytes); });
    }
    ASSERT_TRUE(writer.Write(folder + "/adapter_model.safetensors"));
  }

  static std::string ReadError(const std::string& folder, const std::string& model = "llama") {
    const auto adapter = ReadPeftAdapter(folder, *ConfigFromFolder(testing::kGoldenModels + model));
    return adapter ? "" : adapter.error().message;
  }
};

TEST_F(AdapterFiles, WhatIsSavedLoadsAsTheSameAdapter) {
  for (const bool rs_lora : {true, false}) {
    for (const char* model : {"llama", "qwen2"}) {
      Decoder decoder = LoadDecoder(testing::kGoldenModels + model);
      LoraOptions options;
      options.rank = 6;
      options.alpha = 9.5;
      options.rs_lora = rs_lora;
      options.dropout = 0.25;
      if (rs_lora) options.invocation_tokens = {11, 12};
      AttachWorkingLora(decoder, options);
      Adapter adapter = AdapterOf(decoder);
      adapter.base_model = "some base";
      ASSERT_TRUE(SavePeftAdapter(adapter, scratch_ + "a/b"));
      Decoder again = LoadDecoder(testing::kGoldenModels + model);
      const auto base = LoadPeftAdapter(again, scratch_ + "a/b");
      ASSERT_TRUE(base) << base.error().message;
      EXPECT_EQ(*base, "some base");
      EXPECT_EQ(again.lora()->alpha, 9.5);
      EXPECT_EQ(again.lora()->dropout, 0.25);
      EXPECT_EQ(again.lora()->rs_lora, rs_lora);
      EXPECT_EQ(again.lora()->invocation_tokens, options.invocation_tokens);
      EXPECT_EQ(Difference(LogitsOf(again, kTokens), LogitsOf(decoder, kTokens)), 0);
    }
  }
}

TEST_F(AdapterFiles, HalfPrecisionIsStoredAsAsked) {
  const std::string folder = SavedAdapter({TensorType::kBF16});
  const std::string bytes = hearth::testing::ReadBytes(folder + "/adapter_model.safetensors");
  const auto tensors = ParseSafetensors(std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(tensors);
  EXPECT_EQ(tensors->front().type, TensorType::kBF16);
  EXPECT_EQ(ReadError(folder), "");
  const auto adapter = ReadPeftAdapter(folder, *ConfigFromFolder(testing::kGoldenModels + "llama"));
  const Status blocks = SavePeftAdapter(*adapter, folder, {TensorType::kQ8_0});
  ASSERT_FALSE(blocks);
  EXPECT_THAT(blocks.error().message, HasSubstr("Q8_0"));
}

TEST_F(AdapterFiles, TensorsThatDoNotFitAreNamed) {
  const std::string folder = SavedAdapter();
  EXPECT_EQ(ReadError(folder), "");
  const std::string victim = "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight";
  // Of the same rank, so that the shapes alone tell.
  EXPECT_THAT(ReadError(folder, "qwen2"), HasSubstr("expected ["));
  const std::string original = hearth::testing::ReadBytes(folder + "/adapter_model.safetensors");
  const auto with = [&](const std::function<Tensor(Tensor)>& change,
                        const std::vector<NamedTensor>& more = {}) {
    hearth::testing::WriteBytes(folder + "/adapter_model.safetensors", original);
    Rewrite(
        folder,
        [&](const std::string& name, Tensor tensor) {
          return name == victim ? change(tensor) : tensor;
        },
        more);
    return ReadError(folder);
  };
  EXPECT_THAT(with([](Tensor) { return Tensor(); }), HasSubstr(victim + " is missing"));
  EXPECT_THAT(with([](Tensor t) { return t.t(); }),
              HasSubstr(victim + " is [64, 4], expected [4, 64]"));
  EXPECT_THAT(with([](Tensor t) { return t.div(0); }), HasSubstr(victim + " has values"));
  const auto same = [](Tensor t) { return t; };
  EXPECT_THAT(with(same, {{"base_model.model.lm_head.lora_A.weight", at::ones({4, 64})}}),
              HasSubstr("lm_head.lora_A.weight has no place"));
  EXPECT_THAT(with(same, {{"base_model.model.model.layers.2.mlp.down_proj.lora_A.weight",
                           at::ones({4, 64})}}),
              HasSubstr("layers.2.mlp.down_proj.lora_A.weight has no place"));
  EXPECT_EQ(with(same), "");
}

TEST_F(AdapterFiles, MissingFilesAndPicklesAreTold) {
  EXPECT_THAT(ReadError(scratch_ + "nowhere"), HasSubstr("nowhere/adapter_config.json"));
  const std::string folder = SavedAdapter();
  std::filesystem::rename(folder + "/adapter_model.safetensors", folder + "/adapter_model.bin");
  EXPECT_THAT(ReadError(folder), HasSubstr("pickle"));
  std::filesystem::remove(folder + "/adapter_model.bin");
  EXPECT_THAT(ReadError(folder), HasSubstr("adapter_model.safetensors"));
  hearth::testing::WriteBytes(folder + "/adapter_model.safetensors", "short");
  EXPECT_THAT(ReadError(folder), HasSubstr("adapter_model.safetensors"));
}

TEST_F(AdapterFiles, AnAdapterOfAnotherBaseIsNotAttached) {
  Decoder llama = LoadDecoder(testing::kGoldenModels + "llama");
  AttachWorkingLora(llama, {});
  Decoder qwen = LoadDecoder(testing::kGoldenModels + "qwen2");
  const Status attached = AttachAdapter(qwen, AdapterOf(llama));
  ASSERT_FALSE(attached);
  EXPECT_THAT(attached.error().message, HasSubstr("expected ["));
  EXPECT_EQ(qwen.lora(), nullptr);
}

Tensor MatrixOf(const GgufTensor& tensor) {
  const auto rows = static_cast<int64_t>(tensor.num_rows());
  const auto columns = static_cast<int64_t>(tensor.num_columns());
  Tensor values = at::empty({rows, columns}, at::TensorOptions().dtype(at::kFloat));
  DequantizeRow(tensor.type, tensor.data,
                {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values;
}

// What llama.cpp does with an adapter file: w + alpha / rank * b a, over the base file's tensors.
TEST_F(AdapterFiles, GgufAdapterOnTheBaseFileIsTheMergedFile) {
  for (const char* model : {"llama", "qwen2"}) {
    for (const bool rs_lora : {true, false}) {
      const std::string source = testing::kGoldenModels + model;
      Decoder decoder = LoadDecoder(source);
      ASSERT_TRUE(SaveGguf(decoder, source, scratch_ + "base.gguf", {TensorType::kF32}));
      LoraOptions options;
      options.rank = 4;
      options.alpha = 6;
      options.rs_lora = rs_lora;
      AttachWorkingLora(decoder, options);
      const Adapter adapter = AdapterOf(decoder);
      ASSERT_TRUE(SaveGgufAdapter(adapter, decoder.config(), scratch_ + "lora.gguf", "tiny"));
      const Tensor applied = LogitsOf(decoder, kTokens);
      decoder.MergeLora();
      ASSERT_TRUE(SaveGguf(decoder, source, scratch_ + "merged.gguf", {TensorType::kF32}));

      const auto base = GgufFile::Open(scratch_ + "base.gguf");
      const auto lora = GgufFile::Open(scratch_ + "lora.gguf");
      const auto merged = GgufFile::Open(scratch_ + "merged.gguf");
      ASSERT_TRUE(base && lora && merged);
      EXPECT_EQ(*lora->GetString("general.type"), "adapter");
      EXPECT_EQ(*lora->GetString("general.architecture"), model);
      EXPECT_EQ(*lora->GetString("adapter.type"), "lora");
      EXPECT_EQ(*lora->GetString("general.name"), "tiny");
      EXPECT_FALSE(lora->Has("adapter.alora.invocation_tokens"));
      const double alpha = *lora->GetFloat("adapter.lora.alpha");
      EXPECT_NEAR(alpha, rs_lora ? 12 : 6, 1e-6);  // 6 * sqrt(4)
      EXPECT_EQ(lora->tensors().size(), 2u * 7 * 2);
      int changed = 0;
      for (const GgufTensor& tensor : base->tensors()) {
        const GgufTensor* a = lora->FindTensor(tensor.name + ".lora_a");
        const GgufTensor* b = lora->FindTensor(tensor.name + ".lora_b");
        Tensor expected = MatrixOf(tensor);
        ASSERT_EQ(a == nullptr, b == nullptr) << tensor.name;
        if (a != nullptr) {
          // As llama.cpp checks them.
          EXPECT_EQ(a->shape[0], tensor.shape[0]);
          EXPECT_EQ(b->shape[1], tensor.shape[1]);
          EXPECT_EQ(a->shape[1], b->shape[0]);
          const double scale = alpha / static_cast<double>(b->shape[0]);
          expected = expected.add(at::matmul(MatrixOf(*b), MatrixOf(*a)), scale);
          ++changed;
        }
        EXPECT_LT(Difference(MatrixOf(*merged->FindTensor(tensor.name)), expected), 1e-6)
            << tensor.name;
      }
      EXPECT_EQ(changed, 14);
      const Decoder again = LoadDecoder(scratch_ + "merged.gguf");
      EXPECT_LT(Difference(LogitsOf(again, kTokens), applied),
                1e-5 * applied.abs().max().item<double>());
    }
  }
}

TEST_F(AdapterFiles, GgufAdapterSaysWhatActivatesIt) {
  Decoder decoder = LoadDecoder(testing::kGoldenModels + "qwen2");
  LoraOptions options;
  options.rank = 32;
  options.invocation_tokens = {11, 12};
  AttachWorkingLora(decoder, options);
  ASSERT_TRUE(SaveGgufAdapter(AdapterOf(decoder), decoder.config(), scratch_ + "lora.gguf", "",
                              {TensorType::kQ8_0}));
  const auto file = GgufFile::Open(scratch_ + "lora.gguf");
  ASSERT_TRUE(file);
  const auto& value = file->metadata().find("adapter.alora.invocation_tokens")->second;
  // llama.cpp takes no other type.
  EXPECT_EQ(std::get<GgufArray>(value.value).element_type, GgufValueType::kUint32);
  EXPECT_THAT(**file->GetIntArray("adapter.alora.invocation_tokens"), ElementsAre(11, 12));
  EXPECT_EQ(file->FindTensor("blk.0.attn_q.weight.lora_b")->type, TensorType::kQ8_0);
}

}  // namespace
}  // namespace hearth::forge
