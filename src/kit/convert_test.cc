// A converted checkpoint computes what transformers computes with the original
// (tests/golden/convert), and its tokenizer cuts a text into the same tokens.

#include "kit/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "kit/testing/golden_lines.h"
#include "kit/testing/scratch_folder.h"
#include "runtime/gguf/gguf.h"
#include "runtime/model/decoder.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {
namespace {

using hearth::testing::kConvertGoldens;
using hearth::testing::ScratchFolderTest;
using ::testing::ElementsAreArray;

// Relative errors of the logits. Measured: 1.7e-4 to 5.3e-4 in float (keys and values are kept in
// F16). A conversion to Q8_0 rounds weights, which is what was asked for, and then computes with
// int8 activations: each by itself.
constexpr double kMaxFloatError = 2e-3;
constexpr double kMaxRoundingError = 0.04;
constexpr double kMaxInt8Error = 0.036;

struct Expected {
  std::string text;
  std::vector<TokenId> text_tokens, tokens;
  std::vector<size_t> entries;
  std::map<int, std::vector<double>> logits;  // of the entries, by position
};

Expected ReadExpected(const std::string& path) {
  Expected expected;
  for (const auto& [name, value] : testing::ReadGoldenLines(path)) {
    if (name == "text") {
      expected.text = testing::Unescaped(value);
    } else if (name == "text_tokens") {
      expected.text_tokens = testing::Numbers<TokenId>(value);
    } else if (name == "tokens") {
      expected.tokens = testing::Numbers<TokenId>(value);
    } else if (name == "entries") {
      expected.entries = testing::Numbers<size_t>(value);
    } else if (name == "logits") {
      auto numbers = testing::Numbers<double>(value);
      expected.logits[static_cast<int>(numbers.front())] = {numbers.begin() + 1, numbers.end()};
    }
  }
  EXPECT_EQ(expected.logits.size(), 3u) << path;
  return expected;
}

// Of the expected entries, position by position; empty where the model does not run.
std::vector<double> Logits(const GgufFile& file, const Expected& expected,
                           bool integer_activations) {
  const auto num_tokens = static_cast<int>(expected.tokens.size());
  ThreadPool pool(1);
  DecoderOptions options;
  options.max_batch_tokens = num_tokens;
  options.max_logits = 1;
  options.integer_activations = integer_activations;
  options.image.use_disk = false;
  auto decoder = Decoder::Load(file, pool, options);
  if (!decoder) {
    ADD_FAILURE() << decoder.error().message;
    return {};
  }
  std::vector<int> blocks((num_tokens + kKvBlockTokens - 1) / kKvBlockTokens);
  std::iota(blocks.begin(), blocks.end(), 0);
  auto kv = KvCacheStorage::Create((*decoder)->kv_shape(KvStorage::kF16),
                                   static_cast<int>(blocks.size()));
  EXPECT_TRUE(kv);
  const SequenceSlice slice{expected.tokens, 0, blocks, num_tokens};
  (*decoder)->Forward({&slice, 1}, *kv);
  std::vector<double> logits;
  for (const auto& [position, unused] : expected.logits) {
    const float* row = (*decoder)->Logits(position, 1);
    for (const size_t entry : expected.entries) logits.push_back(row[entry]);
  }
  return logits;
}

std::vector<double> ReferenceLogits(const Expected& expected) {
  std::vector<double> logits;
  for (const auto& [position, values] : expected.logits)
    logits.insert(logits.end(), values.begin(), values.end());
  return logits;
}

// |ours - theirs| / |theirs|
double RelativeError(const std::vector<double>& ours, const std::vector<double>& theirs) {
  if (ours.size() != theirs.size()) return 2;
  double difference = 0, norm = 0;
  for (size_t i = 0; i < theirs.size(); ++i) {
    difference += std::pow(ours[i] - theirs[i], 2);
    norm += std::pow(theirs[i], 2);
  }
  return std::sqrt(difference / norm);
}

struct ConvertCase {
  const char* name;
  const char* folder;
  std::map<std::string, int64_t> integers;
  std::map<std::string, double> floats;
  std::map<std::string, std::string> strings;
  bool adds_bos;
};

const std::map<std::string, int64_t> kLlamaIntegers = {{"llama.block_count", 2},
                                                       {"llama.embedding_length", 64},
                                                       {"llama.attention.head_count", 4},
                                                       {"llama.attention.head_count_kv", 2},
                                                       {"llama.attention.key_length", 32},
                                                       {"llama.rope.dimension_count", 32},
                                                       {"llama.feed_forward_length", 64},
                                                       {"llama.context_length", 512},
                                                       {"tokenizer.ggml.bos_token_id", 287},
                                                       {"tokenizer.ggml.eos_token_id", 288},
                                                       {"tokenizer.ggml.unknown_token_id", 286}};
const std::map<std::string, double> kLlamaFloats = {
    {"llama.rope.freq_base", 1e5}, {"llama.attention.layer_norm_rms_epsilon", 1e-5}};
const std::map<std::string, std::string> kLlamaStrings = {{"general.architecture", "llama"},
                                                          {"tokenizer.ggml.model", "gpt2"},
                                                          {"tokenizer.ggml.pre", "smollm"}};

class ConvertTest : public ScratchFolderTest, public ::testing::WithParamInterface<ConvertCase> {
 protected:
  GgufFile Convert(std::optional<TensorType> type = {}) {
    ConvertOptions options;
    options.input_dir = kConvertGoldens + GetParam().folder;
    options.output_path = scratch_ + "model.gguf";
    options.type = type;
    options.on_progress = [&](double progress) { progress_.push_back(progress); };
    const Status status = ConvertHuggingFace(options);
    EXPECT_TRUE(status) << status.error().message;
    auto file = GgufFile::Open(options.output_path);
    EXPECT_TRUE(file) << file.error().message;
    return file ? std::move(*file) : GgufFile();
  }

  const Expected expected_ = ReadExpected(kConvertGoldens + GetParam().folder + "/expected.txt");
  std::vector<double> progress_;
};

INSTANTIATE_TEST_SUITE_P(
    Checkpoints, ConvertTest,
    ::testing::Values(
        ConvertCase{"Llama", "llama", kLlamaIntegers, kLlamaFloats, kLlamaStrings, false},
        ConvertCase{"ShardedLlama", "llama-sharded", kLlamaIntegers, kLlamaFloats, kLlamaStrings,
                    false},
        ConvertCase{"Llama3",
                    "llama3",
                    {{"llama.block_count", 2},
                     {"llama.attention.head_count", 2},
                     {"llama.attention.head_count_kv", 1},
                     {"llama.attention.key_length", 32},
                     {"tokenizer.ggml.bos_token_id", 286},
                     {"tokenizer.ggml.eos_token_id", 287},
                     {"tokenizer.ggml.eot_token_id", 289}},
                    {{"llama.rope.freq_base", 1e4}},
                    {{"general.architecture", "llama"}, {"tokenizer.ggml.pre", "llama-bpe"}},
                    true},
        ConvertCase{
            "Qwen2",
            "qwen2",
            {{"qwen2.block_count", 2},
             {"qwen2.attention.head_count", 2},
             {"qwen2.attention.head_count_kv", 1},
             {"qwen2.feed_forward_length", 96},
             {"tokenizer.ggml.eos_token_id", 288},
             {"tokenizer.ggml.padding_token_id", 286}},
            {{"qwen2.rope.freq_base", 1e6}, {"qwen2.attention.layer_norm_rms_epsilon", 1e-6}},
            {{"general.architecture", "qwen2"},
             {"tokenizer.ggml.model", "gpt2"},
             {"tokenizer.ggml.pre", "qwen2"}},
            false},
        ConvertCase{"Qwen3",
                    "qwen3",
                    {{"qwen3.block_count", 2},
                     {"qwen3.embedding_length", 32},
                     {"qwen3.attention.head_count", 4},
                     {"qwen3.attention.head_count_kv", 2},
                     {"qwen3.attention.key_length", 32},
                     {"tokenizer.ggml.eos_token_id", 288}},
                    {{"qwen3.rope.freq_base", 1e6}},
                    {{"general.architecture", "qwen3"}, {"tokenizer.ggml.pre", "qwen2"}},
                    false},
        ConvertCase{"Gemma3",
                    "gemma3",
                    {{"gemma3.block_count", 7},
                     {"gemma3.attention.sliding_window", 16},
                     {"gemma3.attention.key_length", 32},
                     {"tokenizer.ggml.bos_token_id", 2},
                     {"tokenizer.ggml.eos_token_id", 1},
                     {"tokenizer.ggml.eot_token_id", 5},
                     {"tokenizer.ggml.padding_token_id", 0},
                     {"tokenizer.ggml.unknown_token_id", 3}},
                    {{"gemma3.rope.freq_base", 1e6},
                     {"gemma3.rope.freq_base_swa", 1e4},
                     {"gemma3.rope.scaling.factor", 8}},
                    {{"general.architecture", "gemma3"},
                     {"tokenizer.ggml.model", "llama"},
                     {"gemma3.rope.scaling.type", "linear"}},
                    true}),
    [](const auto& test) { return test.param.name; });

TEST_P(ConvertTest, KeysAreTheConfigs) {
  const GgufFile file = Convert();
  for (const auto& [key, value] : GetParam().integers)
    EXPECT_EQ(file.GetInt(key).value_or(-1), value) << key;
  for (const auto& [key, value] : GetParam().floats)
    EXPECT_FLOAT_EQ(file.GetFloat(key).value_or(-1), value) << key;
  for (const auto& [key, value] : GetParam().strings)
    EXPECT_EQ(file.GetString(key).value_or("(none)"), value) << key;
  EXPECT_EQ(file.GetBoolOr("tokenizer.ggml.add_bos_token", !GetParam().adds_bos)
                .value_or(!GetParam().adds_bos),
            GetParam().adds_bos);
}

TEST_P(ConvertTest, LogitsAreTheReferences) {
  const GgufFile file = Convert();
  const double error = RelativeError(Logits(file, expected_, false), ReferenceLogits(expected_));
  std::printf("as stored, float: relative error %.2g\n", error);
  EXPECT_LE(error, kMaxFloatError);
}

TEST_P(ConvertTest, EightBitLogitsStayClose) {
  const GgufFile file = Convert(TensorType::kQ8_0);
  ASSERT_NE(file.FindTensor("blk.0.ffn_up.weight"), nullptr);
  EXPECT_EQ(file.FindTensor("blk.0.ffn_up.weight")->type, TensorType::kQ8_0);
  EXPECT_EQ(file.FindTensor("token_embd.weight")->type, TensorType::kQ8_0);
  EXPECT_EQ(file.FindTensor("blk.0.attn_norm.weight")->type, TensorType::kF32);
  const std::vector<double> ours = Logits(file, expected_, true),
                            in_float = Logits(file, expected_, false);
  const double rounding = RelativeError(in_float, ReferenceLogits(expected_));
  const double error = RelativeError(ours, in_float);
  std::printf("Q8_0: relative error of the weights %.2g, of int8 activations %.2g\n", rounding,
              error);
  EXPECT_LE(rounding, kMaxRoundingError);
  EXPECT_LE(error, kMaxInt8Error);
}

TEST_P(ConvertTest, TokensAreTheReferences) {
  const GgufFile file = Convert();
  const auto tokenizer = Tokenizer::FromGguf(file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_THAT((*tokenizer)->Encode(expected_.text, true, true),
              ElementsAreArray(expected_.text_tokens));
  const auto rows = file.FindTensor("token_embd.weight")->num_rows();
  EXPECT_EQ(static_cast<uint64_t>((*tokenizer)->vocab_size()), rows);
}

TEST_P(ConvertTest, ProgressRisesToOne) {
  Convert();
  ASSERT_FALSE(progress_.empty());
  EXPECT_TRUE(std::is_sorted(progress_.begin(), progress_.end()));
  EXPECT_EQ(progress_.back(), 1.0);
}

}  // namespace
}  // namespace hearth
