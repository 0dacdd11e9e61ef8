// What must agree within the decoder: packed and separate, cached and whole, checkpointed and kept,
// merged and applied.
#include "training/model/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "training/model/testing_config.h"

namespace hearth::forge {
namespace {

using ::testing::HasSubstr;

// Weights large enough that a mistake shows.
Decoder TinyDecoder(const DecoderConfig& config, uint64_t seed = 7) {
  Decoder decoder = Decoder::Random(config, {}, seed);
  for (const NamedTensor& parameter : decoder.Parameters()) {
    Tensor tensor = parameter.tensor;
    if (tensor.dim() == 2) {
      tensor.mul_(10);
    } else {
      tensor.add_(at::randn(tensor.sizes()).mul_(0.2));
    }
  }
  return decoder;
}

Tensor Tokens(int64_t count, int64_t first = 3) {
  return at::arange(count, at::TensorOptions().dtype(at::kLong)).mul(17).add(first).remainder(61);
}

SegmentLayout Layout(const std::vector<int64_t>& lengths) {
  return SegmentLayout::Make(lengths, at::kCPU);
}

double Difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return (a - b).abs().max().item<double>();
}

// Adapters whose B is not zero, so that they do something.
void AttachWorkingLora(Decoder& decoder, const LoraOptions& options) {
  ASSERT_TRUE(decoder.AttachLora(options, 5).has_value());
  const at::NoGradGuard guard;
  for (const NamedTensor& parameter : decoder.LoraParameters()) {
    Tensor tensor = parameter.tensor;
    if (parameter.name.find("lora_B") != std::string::npos)
      tensor.copy_(at::randn(tensor.sizes()).mul_(0.1));
  }
}

TEST(Decoder, PackedSegmentsDoNotSeeEachOther) {
  for (const char* architecture : {"llama", "qwen2"}) {
    const Decoder decoder = TinyDecoder(TinyConfig(architecture));
    const Tensor first = Tokens(9), second = Tokens(5, 40), third = Tokens(1, 8);
    const Tensor packed =
        decoder.Forward(at::cat({first, second, third}), Layout({9, 5, 1})).hidden;
    int64_t begin = 0;
    for (const Tensor& tokens : {first, second, third}) {
      const int64_t length = tokens.size(0);
      const Tensor alone = decoder.Forward(tokens, Layout({length})).hidden;
      EXPECT_LT(Difference(packed.narrow(0, begin, length), alone), 1e-5) << architecture;
      begin += length;
    }
  }
}

TEST(Decoder, GradientsOfPackedSegmentsAreTheSumOfThoseAlone) {
  Decoder decoder = TinyDecoder(TinyConfig());
  decoder.SetBaseTrainable(true);
  const Tensor first = Tokens(6), second = Tokens(4, 40);
  const auto collect = [&] {
    std::vector<Tensor> gradients;
    for (const NamedTensor& parameter : decoder.Parameters()) {
      gradients.push_back(parameter.tensor.grad().clone());
      parameter.tensor.mutable_grad() = Tensor();
    }
    return gradients;
  };
  decoder.Forward(first, Layout({6})).hidden.sin().sum().backward();
  decoder.Forward(second, Layout({4})).hidden.sin().sum().backward();
  const auto apart = collect();
  decoder.Forward(at::cat({first, second}), Layout({6, 4})).hidden.sin().sum().backward();
  const auto packed = collect();
  for (size_t i = 0; i < apart.size(); ++i)
    EXPECT_LT(Difference(apart[i], packed[i]), 1e-4 * (1 + apart[i].abs().max().item<double>()));
}

TEST(Decoder, TokensByCacheAreTokensAtOnce) {
  const Decoder decoder = TinyDecoder(TinyConfig("qwen2", false));
  // Two prompts of different lengths padded on the right, then two tokens each, one by one.
  const Tensor first = Tokens(7), second = Tokens(5, 30);
  KvCache cache = decoder.MakeCache(2, 16);
  const Tensor prompts = at::stack(
      {first.narrow(0, 0, 5), at::cat({second.narrow(0, 0, 3), at::zeros({2}, first.options())})});
  const Tensor counts = at::tensor({5, 3}, at::kLong);
  const Tensor prefill = decoder.Forward(prompts, cache, counts).hidden.view({2, 5, -1});
  const Tensor whole_first = decoder.Forward(first, Layout({7})).hidden;
  const Tensor whole_second = decoder.Forward(second, Layout({5})).hidden;
  EXPECT_LT(Difference(prefill[0], whole_first.narrow(0, 0, 5)), 1e-5);
  EXPECT_LT(Difference(prefill[1].narrow(0, 0, 3), whole_second.narrow(0, 0, 3)), 1e-5);
  for (int64_t step = 0; step < 2; ++step) {
    const Tensor next = at::stack({first.narrow(0, 5 + step, 1), second.narrow(0, 3 + step, 1)});
    const Tensor hidden = decoder.Forward(next, cache).hidden;
    EXPECT_LT(Difference(hidden[0], whole_first[5 + step]), 1e-5);
    EXPECT_LT(Difference(hidden[1], whole_second[3 + step]), 1e-5);
  }
  EXPECT_EQ(cache.lengths[0].item<int64_t>(), 7);
  // Rolled back and swapped, the cache goes on from where it then is.
  cache.lengths = cache.lengths.sub(2);
  cache.used -= 2;
  cache.Select(at::tensor({1, 0}, at::kLong));
  const Tensor again = at::stack({second.narrow(0, 3, 2), first.narrow(0, 5, 2)});
  const Tensor hidden = decoder.Forward(again, cache).hidden.view({2, 2, -1});
  EXPECT_LT(Difference(hidden[1], whole_first.narrow(0, 5, 2)), 1e-5);
  EXPECT_LT(Difference(hidden[0], whole_second.narrow(0, 3, 2)), 1e-5);
}

TEST(Decoder, TapsAreHiddenStatesBehindTheirLayers) {
  const Decoder decoder = TinyDecoder(TinyConfig());
  ForwardOptions options;
  options.taps = {2, 0};
  const ForwardResult result = decoder.Forward(Tokens(6), Layout({6}), options);
  EXPECT_LT(Difference(result.taps[0], result.raw), 1e-7);
  EXPECT_LT(Difference(RmsNorm(result.raw, decoder.final_norm(), 1e-6), result.hidden), 1e-6);
  LayerContext context;
  context.config = &decoder.config();
  const SegmentLayout layout = Layout({6});
  context.segments = &layout;
  context.rotary = MakeRotary(decoder.rotary_frequencies(), layout.positions, at::kFloat);
  const Tensor behind_first = RunLayer(decoder.layers()[0], decoder.Embed(Tokens(6)), context, 0);
  EXPECT_LT(Difference(result.taps[1], behind_first), 1e-6);
}

std::vector<Tensor> LoraGradients(Decoder& decoder, const ForwardOptions& options) {
  decoder.Forward(Tokens(8), Layout({5, 3}), options).hidden.sin().sum().backward();
  std::vector<Tensor> gradients;
  for (const NamedTensor& parameter : decoder.LoraParameters()) {
    gradients.push_back(parameter.tensor.grad().clone());
    parameter.tensor.mutable_grad() = Tensor();
  }
  return gradients;
}

TEST(Decoder, CheckpointedGradientsAreBitEqual) {
  Decoder decoder = TinyDecoder(TinyConfig());
  LoraOptions lora;
  lora.rank = 4;
  lora.dropout = 0.3;  // the recomputed layer must drop what it dropped before
  AttachWorkingLora(decoder, lora);
  ForwardOptions options;
  options.training = true;
  options.dropout_seed = 11;
  const auto kept = LoraGradients(decoder, options);
  options.checkpoint = true;
  const auto recomputed = LoraGradients(decoder, options);
  for (size_t i = 0; i < kept.size(); ++i) {
    EXPECT_GT(kept[i].abs().max().item<double>(), 0);
    EXPECT_TRUE(at::equal(kept[i], recomputed[i])) << i;
  }
  options.dropout_seed = 12;
  EXPECT_FALSE(at::equal(LoraGradients(decoder, options)[0], kept[0]));
}

TEST(Decoder, CheckpointsWorkUnderATrainableBaseToo) {
  Decoder decoder = TinyDecoder(TinyConfig());
  decoder.SetBaseTrainable(true);
  const auto gradient = [&](bool checkpoint, bool with_tap) {
    ForwardOptions options;
    options.checkpoint = checkpoint;
    options.taps = {1};
    const ForwardResult result = decoder.Forward(Tokens(8), Layout({8}), options);
    const Tensor sum = result.hidden.sin().sum();
    (with_tap ? sum + result.taps[0].sum() : sum).backward();
    const Tensor embedding = decoder.embedding().grad().clone();
    for (const NamedTensor& parameter : decoder.Parameters())
      parameter.tensor.mutable_grad() = Tensor();
    return embedding;
  };
  EXPECT_TRUE(at::equal(gradient(false, false), gradient(true, false)));
  // A tap is a third user of its layer's output, and three terms are added in another order.
  EXPECT_LT(Difference(gradient(false, true), gradient(true, true)), 1e-4);
}

TEST(Decoder, MergedAdapterIsTheAppliedOne) {
  Decoder decoder = TinyDecoder(TinyConfig("qwen2"));
  LoraOptions lora;
  lora.rank = 4;
  AttachWorkingLora(decoder, lora);
  const at::NoGradGuard guard;
  const Tensor applied = decoder.Forward(Tokens(6), Layout({6})).hidden;
  ForwardOptions base;
  base.use_adapters = false;
  EXPECT_GT(Difference(decoder.Forward(Tokens(6), Layout({6}), base).hidden, applied), 1e-2);
  decoder.MergeLora();
  EXPECT_EQ(decoder.lora(), nullptr);
  EXPECT_LT(Difference(decoder.Forward(Tokens(6), Layout({6})).hidden, applied), 1e-4);
}

TEST(Decoder, MaskedAdapterLeavesTheTokensBeforeItAlone) {
  Decoder decoder = TinyDecoder(TinyConfig());
  LoraOptions lora;
  lora.rank = 4;
  AttachWorkingLora(decoder, lora);
  const at::NoGradGuard guard;
  ForwardOptions options;
  options.adapter_mask = at::tensor({0, 0, 0, 1, 1, 1}, at::kLong);
  const Tensor masked = decoder.Forward(Tokens(6), Layout({6}), options).hidden;
  ForwardOptions base;
  base.use_adapters = false;
  const Tensor plain = decoder.Forward(Tokens(6), Layout({6}), base).hidden;
  EXPECT_TRUE(at::equal(masked.narrow(0, 0, 3), plain.narrow(0, 0, 3)));
  EXPECT_GT(Difference(masked[3], plain[3]), 1e-2);
}

TEST(Decoder, SameSeedSameWeights) {
  const Decoder first = Decoder::Random(TinyConfig(), {}, 3);
  const Decoder second = Decoder::Random(TinyConfig(), {}, 3);
  const Decoder third = Decoder::Random(TinyConfig(), {}, 4);
  EXPECT_TRUE(at::equal(first.layers()[2].down.weight, second.layers()[2].down.weight));
  EXPECT_FALSE(at::equal(first.layers()[2].down.weight, third.layers()[2].down.weight));
  EXPECT_EQ(first.num_parameters(),
            61 * 32 + 32 + 3 * (2 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 48 * 32));
}

TEST(Decoder, AdapterOptionsThatMakeNoSenseAreNamed) {
  Decoder decoder = Decoder::Random(TinyConfig(), {}, 3);
  const auto message = [&](auto change) {
    LoraOptions options;
    change(options);
    const Status status = decoder.AttachLora(options, 1);
    return status ? std::string() : status.error().message;
  };
  EXPECT_THAT(message([](LoraOptions& o) { o.rank = 0; }), HasSubstr("rank is 0"));
  EXPECT_THAT(message([](LoraOptions& o) { o.alpha = NAN; }), HasSubstr("alpha is"));
  EXPECT_THAT(message([](LoraOptions& o) { o.dropout = 1; }), HasSubstr("dropout is 1"));
  EXPECT_THAT(message([](LoraOptions& o) { o.targets = {"lm_head"}; }), HasSubstr("'lm_head'"));
  EXPECT_THAT(message([](LoraOptions& o) { o.invocation_tokens = {61}; }), HasSubstr("61"));
  EXPECT_EQ(decoder.lora(), nullptr);
  EXPECT_EQ(message([](LoraOptions& o) { o.targets = {"q_proj", "down_proj"}; }), "");
  EXPECT_EQ(decoder.LoraParameters().size(), 12u);
  EXPECT_EQ(decoder.LoraParameters()[0].name,
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
}

TEST(Decoder, RsLoraScalesByTheRootOfTheRank) {
  LoraOptions options;
  options.rank = 16;
  options.alpha = 32;
  EXPECT_DOUBLE_EQ(options.scale(), 8);
  options.rs_lora = false;
  EXPECT_DOUBLE_EQ(options.scale(), 2);
}

TEST(DecoderConfig, SizesThatDoNotFitAreNamed) {
  DecoderConfig config = TinyConfig();
  EXPECT_TRUE(CheckConfig(config).has_value());
  config.num_kv_heads = 3;
  EXPECT_THAT(CheckConfig(config).error().message, HasSubstr("4 heads cannot share 3 KV heads"));
  config = TinyConfig();
  config.rope_factors = {1, 1};
  EXPECT_THAT(CheckConfig(config).error().message, HasSubstr("2 rotary factors"));
  DecoderConfig other = TinyConfig();
  other.ffn_size = 50;
  EXPECT_EQ(DifferenceOf(TinyConfig(), other), "ffn_size 48 and 50");
  EXPECT_EQ(DifferenceOf(other, other), "");
}

}  // namespace
}  // namespace hearth::forge
