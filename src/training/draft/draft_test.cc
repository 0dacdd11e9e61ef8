// A head's unrolled pass must be what drafting one token after the other computes.
#include "training/draft/draft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>

#include "training/draft/measure.h"
#include "training/draft/testing_base.h"

namespace hearth::forge {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Draft TinyDraft(const Decoder& base, DraftOptions options) {
  if (options.token_ids.empty()) options.token_ids = AllTokens(61);
  auto draft = Draft::FromBase(base, options);
  EXPECT_TRUE(draft) << draft.error().message;
  Stir(draft->Parameters(), 1.5);
  return std::move(*draft);
}

// The state behind the output norm that guesses token `anchor + num_own + 2` of one sequence: slots
// up to the anchor from the base's states, the later ones from the head's own output, slot by slot,
// everything computed anew for each.
Tensor DraftedState(const Draft& draft, const Decoder& base, const Tensor& tokens,
                    const Tensor& taps, int64_t anchor, int64_t num_own) {
  const double eps = draft.config.norm_eps;
  const Tensor fused = at::linear(taps.narrow(0, 0, anchor + 1), draft.fuse);
  std::vector<Tensor> states = {fused};
  Tensor x;
  for (int64_t own = 0; own <= num_own; ++own) {
    const int64_t slots = anchor + 1 + own;
    const Tensor next = base.Embed(tokens.narrow(0, 1, slots));
    x = at::linear(at::cat({RmsNorm(next, draft.token_norm, eps),
                            RmsNorm(at::cat(states), draft.state_norm, eps)},
                           -1),
                   draft.join);
    const SegmentLayout layout = SegmentLayout::Make({slots}, at::kCPU);
    LayerContext context;
    context.config = &draft.config;
    context.rotary = MakeRotary(base.rotary_frequencies(), layout.positions, at::kFloat);
    context.segments = &layout;
    for (size_t layer = 0; layer < draft.layers.size(); ++layer)
      x = RunLayer(draft.layers[layer], x, context, layer);
    states.push_back(x.narrow(0, slots - 1, 1));
  }
  return RmsNorm(x.narrow(0, x.size(0) - 1, 1), draft.output_norm, eps);
}

TEST(HeadStates, AreThoseOfDraftingTokenByToken) {
  const at::NoGradGuard guard;
  for (const char* architecture : {"llama", "qwen2"}) {
    const Decoder base = TinyBase(architecture);
    const Draft draft = TinyDraft(base, {.taps = {0, 2, 1}, .layers = {1, 2}});
    const std::vector<int64_t> lengths = {9, 1, 12};
    const Tensor tokens = TestTokens(lengths);
    const SegmentLayout layout = SegmentLayout::Make(lengths, at::kCPU);
    const BaseStates states = RunBase(base, draft.taps, tokens, layout);
    const auto unrolled = HeadStates(draft, base, {tokens, &layout, states.taps}, 4);
    ASSERT_EQ(unrolled.size(), 4u);
    int64_t begin = 0;
    for (const int64_t length : lengths) {
      for (int64_t anchor = 0; anchor < length; ++anchor) {
        for (int64_t own = 0; own < 4 && anchor + own + 1 < length; ++own) {
          const Tensor expected = DraftedState(draft, base, tokens.narrow(0, begin, length),
                                               states.taps.narrow(0, begin, length), anchor, own);
          const Tensor got = unrolled[static_cast<size_t>(own)].narrow(0, begin + anchor, 1);
          EXPECT_LT((got - expected).abs().max().item<double>(), 2e-4)
              << architecture << " anchor " << anchor << " after " << own;
        }
      }
      begin += length;
    }
  }
}

TEST(ModelStates, OfAllTheBasesLayersAreTheBases) {
  const at::NoGradGuard guard;
  const Decoder base = TinyBase();
  const auto draft = Draft::FromBase(base, {.layers = {0, 1, 2}, .token_ids = {5, 9, 40}});
  ASSERT_TRUE(draft);
  const Tensor tokens = TestTokens({7, 4});
  const SegmentLayout layout = SegmentLayout::Make({7, 4}, at::kCPU);
  const Tensor hidden = base.Forward(tokens, layout).hidden;
  const Tensor states = ModelStates(*draft, base, {tokens, &layout, {}});
  EXPECT_LT((states - hidden).abs().max().item<double>(), 1e-5);
  EXPECT_TRUE(at::equal(draft->head, base.head_weight().index_select(0, at::tensor({5, 9, 40}))));
}

TEST(Draft, KeepsTheNeuronsThatMatter) {
  const Decoder base = TinyBase();
  Tensor(base.layers()[2].gate.weight).narrow(0, 10, 32).mul_(1e-3);
  const auto draft =
      Draft::FromBase(base, {.taps = {2}, .ffn_size = 32, .token_ids = AllTokens(61)});
  ASSERT_TRUE(draft);
  const auto kept = at::cat({at::arange(10), at::arange(42, 64)});
  EXPECT_TRUE(
      at::equal(draft->layers[0].gate.weight, base.layers()[2].gate.weight.index_select(0, kept)));
  EXPECT_TRUE(
      at::equal(draft->layers[0].down.weight, base.layers()[2].down.weight.index_select(1, kept)));
}

TEST(Draft, NamesWhatTheBaseDoesNotHave) {
  const Decoder base = TinyBase();
  const auto refusal = [&](const DraftOptions& options) {
    const auto draft = Draft::FromBase(base, options);
    return draft ? std::string() : draft.error().message;
  };
  EXPECT_THAT(refusal({.taps = {3}, .token_ids = {1}}), HasSubstr("layer 3 of a base with 3"));
  EXPECT_THAT(refusal({.layers = {-1}, .token_ids = {1}}), HasSubstr("layer -1"));
  EXPECT_THAT(refusal({.token_ids = {1}}), HasSubstr("no layers"));
  EXPECT_THAT(refusal({.taps = {0}}), HasSubstr("no tokens"));
  EXPECT_THAT(refusal({.taps = {0}, .token_ids = {4, 3}}), HasSubstr("token 3 after 4"));
  EXPECT_THAT(refusal({.taps = {0}, .token_ids = {61}}), HasSubstr("token 61"));
  EXPECT_THAT(refusal({.taps = {0}, .ffn_size = 96, .token_ids = {1}}), HasSubstr("96"));
}

TEST(Draft, IsTheSameAfterSavingAndLoading) {
  const std::string path =
      ::testing::TempDir() + "hearth_draft_" + std::to_string(getpid()) + ".gguf";
  for (const bool is_head : {true, false}) {
    const Decoder base = TinyBase(is_head ? "llama" : "qwen2");
    DraftOptions options{.layers = {2}, .ffn_size = 32, .token_ids = {2, 3, 60}};
    if (is_head) options.taps = {0, 2};
    Draft draft = TinyDraft(base, options);
    ASSERT_TRUE(draft.Save(path, {TensorType::kF32, TensorType::kF32}));
    auto loaded = Draft::Load(path, base);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->taps, draft.taps);
    EXPECT_EQ(loaded->token_ids, draft.token_ids);
    const auto before = draft.Parameters(), after = loaded->Parameters();
    ASSERT_EQ(before.size(), after.size());
    for (size_t i = 0; i < before.size(); ++i)
      EXPECT_TRUE(at::equal(before[i].tensor, after[i].tensor)) << before[i].name;

    // Rounded beforehand, the file's rounding changes nothing more.
    const DraftTypes types{TensorType::kQ4_0, TensorType::kQ8_0};
    Draft rounded = draft.FakeQuantized(types);
    ASSERT_TRUE(draft.Save(path, types));
    loaded = Draft::Load(path, base);
    ASSERT_TRUE(loaded);
    const auto fake = rounded.Parameters(), real = loaded->Parameters();
    for (size_t i = 0; i < fake.size(); ++i) {
      EXPECT_LT((fake[i].tensor - real[i].tensor).abs().gt(1e-6).sum().item<int64_t>(), 3)
          << fake[i].name;
    }
    const auto other = Draft::Load(path, TinyBase(is_head ? "qwen2" : "llama"));
    ASSERT_FALSE(other);
    EXPECT_THAT(other.error().message, HasSubstr("architecture"));
  }
  std::remove(path.c_str());
}

TEST(MeasureDraft, CountsAsTheRuntimeWould) {
  const at::NoGradGuard guard;
  const Decoder base = TinyBase();
  const std::vector<GreedyText> texts = {{{3, 5, 7, 9, 11, 13, 15, 17, 19}, 2}, {{1, 2, 3, 4}, 1}};
  // The base as its own draft is always right where a text is its own; here nothing is.
  const auto model = Draft::FromBase(base, {.layers = {0, 1, 2}, .token_ids = AllTokens(61)});
  ASSERT_TRUE(model);
  std::vector<GreedyText> own = texts;
  for (GreedyText& text : own) {
    while (text.tokens.size() < 20) {
      const std::vector<int64_t> wide(text.tokens.begin(), text.tokens.end());
      const Tensor all = at::tensor(wide, at::kLong);
      const auto layout = SegmentLayout::Make({all.size(0)}, at::kCPU);
      const Tensor hidden = base.Forward(all, layout).hidden;
      text.tokens.push_back(
          base.Logits(hidden.narrow(0, all.size(0) - 1, 1)).argmax().item<int32_t>());
    }
    text.answer_begin = 12;
  }
  const auto perfect = MeasureDraft(base, *model, own, 3);
  ASSERT_TRUE(perfect);
  EXPECT_EQ(perfect->tokens, 2 * 7);
  EXPECT_DOUBLE_EQ(perfect->agreement, 1);
  // Seven tokens behind the first: 2+2+2+1, 3+3+1, 4+3.
  EXPECT_THAT(perfect->tokens_per_verification, ElementsAre(7.0 / 4, 7.0 / 3, 7.0 / 2));

  Draft never = *model;
  never.token_ids = {60};
  never.head = never.head.narrow(0, 0, 1);
  const auto nothing = MeasureDraft(base, never, texts, 3);
  ASSERT_TRUE(nothing);
  EXPECT_DOUBLE_EQ(nothing->agreement, 0);
  EXPECT_THAT(nothing->tokens_per_verification, ElementsAre(1, 1, 1));
  EXPECT_FALSE(MeasureDraft(base, never, {}, 3));
}

}  // namespace
}  // namespace hearth::forge
