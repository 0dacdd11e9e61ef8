// Loading GGUF files: the decoder computes what the runtime's float path computes from the same
// file, and broken files are told apart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/thread_pool.h"
#include "kit/safetensors_writer.h"
#include "runtime/gguf/gguf_writer.h"
#include "runtime/model/decoder.h"
#include "runtime/model/testing/tiny_model.h"
#include "training/model/decoder.h"

namespace hearth::forge {
namespace {

using ::testing::HasSubstr;

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& name)
      : path_(
            (std::filesystem::temp_directory_path() / ("hearth-" + std::to_string(getpid()) + name))
                .string()) {}
  ~TemporaryFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Logits of every token by the runtime, float activations, [tokens, vocab_size].
Tensor RuntimeLogits(const std::string& path, const std::vector<TokenId>& tokens) {
  const auto file = GgufFile::Open(path);
  ThreadPool pool(0);
  hearth::DecoderOptions options;
  options.integer_activations = false;
  options.max_logits = static_cast<int>(tokens.size());
  auto decoder = hearth::Decoder::Load(*file, pool, options);
  EXPECT_TRUE(decoder) << decoder.error().message;
  auto kv = KvCacheStorage::Create((*decoder)->kv_shape(KvStorage::kF16), 1);
  const int block = 0, count = static_cast<int>(tokens.size());
  const SequenceSlice slice{tokens, 0, {&block, 1}, count};
  (*decoder)->Forward({&slice, 1}, *kv);
  const float* rows = (*decoder)->Logits(0, count);
  const auto stride = static_cast<int64_t>((*decoder)->logits_stride());
  return at::from_blob(const_cast<float*>(rows), {count, stride}, at::kFloat)
      .narrow(1, 0, (*decoder)->hparams().vocab_size)
      .clone();
}

struct Agreement {
  const char* name;
  testing::TinyModelOptions model;
};

void PrintTo(const Agreement& agreement, std::ostream* out) { *out << agreement.name; }

testing::TinyModelOptions Tiny(const char* architecture, bool tied, bool factors, TensorType type) {
  testing::TinyModelOptions options;
  options.architecture = architecture;
  options.type = options.head_type = type;
  options.tied = tied;
  options.rope_factors = factors;
  return options;
}

class RuntimeAgreement : public ::testing::TestWithParam<Agreement> {};

INSTANTIATE_TEST_SUITE_P(
    Models, RuntimeAgreement,
    ::testing::Values(Agreement{"Llama", Tiny("llama", true, false, TensorType::kF32)},
                      Agreement{"LlamaFactors", Tiny("llama", false, true, TensorType::kF32)},
                      Agreement{"Qwen2", Tiny("qwen2", false, false, TensorType::kF32)},
                      Agreement{"Quantised", Tiny("qwen2", true, false, TensorType::kQ8_0)}),
    [](const auto& test) { return test.param.name; });

TEST_P(RuntimeAgreement, LogitsAreThoseOfTheRuntimesFloatPath) {
  const TemporaryFile file("-agreement.gguf");
  ASSERT_TRUE(testing::WriteTinyModel(file.path(), GetParam().model));
  std::vector<TokenId> tokens;
  for (int i = 0; i < 40; ++i) tokens.push_back((i * 37 + 11) % testing::kTinyVocabSize);
  const Tensor expected = RuntimeLogits(file.path(), tokens);
  const auto decoder = Decoder::Load(file.path(), {});
  ASSERT_TRUE(decoder) << decoder.error().message;
  const at::NoGradGuard guard;
  const std::vector<int64_t> wide(tokens.begin(), tokens.end());
  const Tensor hidden =
      decoder->Forward(at::tensor(wide, at::kLong), SegmentLayout::Make({40}, at::kCPU)).hidden;
  const Tensor logits = decoder->Logits(hidden);
  const double spread = expected.std().item<double>();
  EXPECT_GT(spread, 1e-3);
  // Keys and values are F16 there: what is left is their rounding (transformers' goldens, with
  // nothing rounded, are met to 2e-5).
  EXPECT_LT((logits - expected).abs().max().item<double>(), 1e-2 * spread);
  EXPECT_LT((logits - expected).square().mean().sqrt().item<double>(), 1e-3 * spread);
}

std::string LoadError(const std::string& path) {
  const auto decoder = Decoder::Load(path, {});
  return decoder ? "" : decoder.error().message;
}

TEST(DecoderLoad, FilesThatCannotBeOneAreToldApart) {
  EXPECT_THAT(LoadError("/nonexistent/model.gguf"), HasSubstr("/nonexistent/model.gguf"));
  EXPECT_THAT(LoadError("tests/golden"), HasSubstr("config.json"));
  const TemporaryFile other("-qwen3.gguf");
  testing::TinyModelOptions options;
  options.architecture = "qwen3";
  ASSERT_TRUE(testing::WriteTinyModel(other.path(), options));
  EXPECT_THAT(LoadError(other.path()), HasSubstr("qwen3"));
}

TEST(DecoderLoad, WeightsWithoutAPlaceAreRefused) {
  const TemporaryFile good("-plain.gguf"), biased("-biased.gguf");
  ASSERT_TRUE(testing::WriteTinyModel(good.path(), Tiny("llama", true, false, TensorType::kF32)));
  const auto file = GgufFile::Open(good.path());
  const auto with = [&](const char* name) {
    GgufWriter writer;
    for (const auto& [key, value] : file->metadata()) writer.Set(key, value);
    for (const GgufTensor& tensor : file->tensors())
      writer.AddTensor(tensor.name, tensor.type, tensor.shape, tensor.data);
    const std::vector<float> values(4, 1.0f);
    writer.AddTensor(name, TensorType::kF32, {4}, std::as_bytes(std::span(values)));
    EXPECT_TRUE(writer.Write(biased.path()));
    return LoadError(biased.path());
  };
  EXPECT_THAT(with("blk.0.attn_q.bias"), HasSubstr("tensor blk.0.attn_q.bias has no place"));
  // Frequencies follow from the configuration; old converters kept them.
  EXPECT_EQ(with("blk.0.attn_rot_embd.weight"), "");
}

TEST(DecoderLoad, WeightsWithoutAPlaceInAFolderAreRefused) {
  const std::string folder =
      std::filesystem::temp_directory_path() / ("hearth-" + std::to_string(getpid()) + "-folder");
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/config.json")
      << R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 96,
             "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
             "vocab_size": 32, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
             "rope_theta": 10000.0, "tie_word_embeddings": true})";
  const auto error_with = [&](const char* name) {
    const std::vector<float> values(4, 1.0f);
    SafetensorsWriter writer;
    writer.AddTensor(name, TensorType::kF32, {4}, [&](const SafetensorsWriter::TensorSink& sink) {
      return sink(std::as_bytes(std::span(values)));
    });
    EXPECT_TRUE(writer.Write(folder + "/model.safetensors"));
    return LoadError(folder);
  };
  EXPECT_THAT(error_with("model.layers.0.self_attn.q_proj.bias"),
              HasSubstr("model.layers.0.self_attn.q_proj.bias has no place"));
  EXPECT_THAT(error_with("model.layers.0.self_attn.rotary_emb.inv_freq"), HasSubstr("is missing"));
  std::filesystem::remove_all(folder);
}

TEST(DecoderLoad, MissingAndMisshapenTensorsAreNamed) {
  const TemporaryFile good("-good.gguf"), bad("-bad.gguf");
  ASSERT_TRUE(testing::WriteTinyModel(good.path(), Tiny("llama", true, false, TensorType::kF32)));
  const auto file = GgufFile::Open(good.path());
  const auto rewrite = [&](bool drop) {
    GgufWriter writer;
    for (const auto& [key, value] : file->metadata()) writer.Set(key, value);
    for (const GgufTensor& tensor : file->tensors()) {
      auto shape = tensor.shape;
      if (tensor.name == "blk.1.ffn_up.weight") {
        if (drop) continue;
        std::swap(shape[0], shape[1]);
      }
      writer.AddTensor(tensor.name, tensor.type, shape, tensor.data);
    }
    EXPECT_TRUE(writer.Write(bad.path()));
    return LoadError(bad.path());
  };
  EXPECT_THAT(rewrite(true), HasSubstr("blk.1.ffn_up.weight is missing"));
  EXPECT_THAT(rewrite(false), HasSubstr("blk.1.ffn_up.weight is [64, 96], expected [96, 64]"));
}

}  // namespace
}  // namespace hearth::forge
