// What a sequence gets must not depend on how it was computed: cached or not, alone or among
// others, in a fresh slot or one that another sequence used.
#include "training/generate/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "training/generate/sampling.h"
#include "training/generate/testing_decoder.h"

namespace hearth::forge {
namespace {

using ::testing::HasSubstr;

std::vector<GenerationRequest> Requests(int count, double temperature) {
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < count; ++i) {
    GenerationRequest request;
    request.tag = i;
    for (int t = 0; t < 1 + (i * 5) % 9; ++t) request.prompt.push_back((t * 17 + i * 3 + 2) % 61);
    request.max_new_tokens = 5 + i % 13;
    request.temperature = i % 3 == 2 ? 0 : temperature;
    request.seed = static_cast<uint64_t>(100 + i);
    requests.push_back(std::move(request));
  }
  return requests;
}

std::map<int64_t, GeneratedText> RunAll(const Decoder& decoder,
                                        const std::vector<GenerationRequest>& requests,
                                        const GeneratorOptions& options) {
  Generator generator(decoder, options);
  std::map<int64_t, GeneratedText> texts;
  size_t next = 0;
  const Status status = generator.Run(
      [&]() -> std::optional<GenerationRequest> {
        return next < requests.size() ? std::optional(requests[next++]) : std::nullopt;
      },
      [&](const GenerationRequest& request, GeneratedText text) -> Status {
        EXPECT_TRUE(texts.emplace(request.tag, std::move(text)).second);
        return {};
      });
  EXPECT_TRUE(status) << status.error().message;
  EXPECT_EQ(texts.size(), requests.size());
  return texts;
}

TEST(Generator, WritesWhatTheDecoderWithoutACacheWrites) {
  const Decoder decoder = TinyDecoder(7);
  const auto requests = Requests(12, 0);
  const auto texts = RunAll(decoder, requests, {.batch = 5, .capacity = 32, .steps_per_check = 4});
  for (const GenerationRequest& request : requests) {
    EXPECT_EQ(texts.at(request.tag).tokens,
              GreedyWithoutCache(decoder, request.prompt, request.max_new_tokens))
        << request.tag;
  }
}

TEST(Generator, ASequenceDoesNotDependOnItsNeighbours) {
  const Decoder decoder = TinyDecoder(7);
  const auto requests = Requests(23, 0.9);
  const auto alone = RunAll(decoder, requests, {.batch = 1, .capacity = 40, .steps_per_check = 1});
  const auto together = RunAll(
      decoder, requests, {.batch = 6, .capacity = 40, .steps_per_check = 5, .prefill_tokens = 16});
  auto backwards = requests;
  std::ranges::reverse(backwards);
  const auto reversed =
      RunAll(decoder, backwards, {.batch = 30, .capacity = 30, .steps_per_check = 16});
  for (const GenerationRequest& request : requests) {
    EXPECT_EQ(alone.at(request.tag).tokens, together.at(request.tag).tokens) << request.tag;
    EXPECT_EQ(alone.at(request.tag).tokens, reversed.at(request.tag).tokens) << request.tag;
  }
}

TEST(Generator, ABatchThatIsHalvedAndGrownWritesTheSame) {
  const Decoder decoder = TinyDecoder(7);
  const auto requests = Requests(23, 0.9);
  const auto alone = RunAll(decoder, requests, {.batch = 1, .capacity = 40, .steps_per_check = 1});
  const auto run = [&](int64_t least_batch) {
    Generator generator(
        decoder, {.batch = 8, .least_batch = least_batch, .capacity = 40, .steps_per_check = 1});
    std::map<int64_t, GeneratedText> texts;
    // Two at first, then nothing until both are there, then all others at once.
    size_t next = 0;
    const Status status = generator.Run(
        [&]() -> std::optional<GenerationRequest> {
          if (next == requests.size() || (next == 2 && texts.size() < 2)) return std::nullopt;
          return requests[next++];
        },
        [&](const GenerationRequest& request, GeneratedText text) -> Status {
          texts.emplace(request.tag, std::move(text));
          return {};
        });
    EXPECT_TRUE(status);
    EXPECT_EQ(texts.size(), requests.size());
    for (const auto& [tag, text] : texts) EXPECT_EQ(text.tokens, alone.at(tag).tokens) << tag;
    return generator.statistics().occupancy;
  };
  const double whole = run(8), halved = run(1);
  EXPECT_GT(halved, whole * 1.2);
}

TEST(Generator, StopsAtStopTokensAndLimits) {
  const Decoder decoder = TinyDecoder(7);
  const auto requests = Requests(10, 1);
  const auto free = RunAll(decoder, requests, {.batch = 4, .capacity = 40});
  const int32_t stop = free.at(0).tokens[2];
  const auto stopped =
      RunAll(decoder, requests, {.batch = 4, .capacity = 40, .stop_tokens = {stop, 9999}});
  for (const GenerationRequest& request : requests) {
    const GeneratedText& whole = free.at(request.tag);
    EXPECT_EQ(static_cast<int64_t>(whole.tokens.size()), request.max_new_tokens);
    EXPECT_FALSE(whole.stopped);
    const auto found = std::ranges::find(whole.tokens, stop);
    std::vector<int32_t> expected(whole.tokens.begin(),
                                  found == whole.tokens.end() ? found : found + 1);
    EXPECT_EQ(stopped.at(request.tag).tokens, expected);
    EXPECT_EQ(stopped.at(request.tag).stopped, found != whole.tokens.end());
  }
  EXPECT_TRUE(stopped.at(0).stopped);
}

TEST(Generator, ASequenceEndsWhereItsSlotDoes) {
  const Decoder decoder = TinyDecoder(7);
  GenerationRequest request{1, {3, 4, 5}, 100, 0, 1, 0};
  GenerationRequest full{2, std::vector<int32_t>(8, 7), 100, 0, 1, 0};
  const auto texts = RunAll(decoder, {request, full}, {.batch = 2, .capacity = 8});
  EXPECT_EQ(texts.at(1).tokens, GreedyWithoutCache(decoder, request.prompt, 5));
  EXPECT_TRUE(texts.at(2).tokens.empty());
}

TEST(Generator, NamesARequestThatCannotBe) {
  const Decoder decoder = TinyDecoder(7);
  for (const std::vector<int32_t>& prompt : {std::vector<int32_t>{}, {3, 61}}) {
    Generator generator(decoder, {.batch = 2, .capacity = 8});
    bool asked = false;
    const Status status = generator.Run(
        [&]() -> std::optional<GenerationRequest> {
          if (std::exchange(asked, true)) return std::nullopt;
          return GenerationRequest{42, prompt, 3, 0, 1, 0};
        },
        [](const GenerationRequest&, GeneratedText) { return Status(); });
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, HasSubstr("request 42"));
  }
}

// What only a GPU has: the recorded step, and attention that reads each row to its own length.
TEST(Generator, OnAGpuAStepRecordedIsAStepRun) {
  const auto device = ParseDevice("cuda");
  if (!device) GTEST_SKIP() << "no GPU here";
  DecoderConfig config = TinyConfig();
  config.hidden_size = 128;
  config.head_dim = 32;
  const DecoderOptions options{*device, at::kBFloat16};
  const Decoder decoder = Decoder::Random(config, options, 7);
  for (const NamedTensor& parameter : decoder.Parameters()) {
    Tensor tensor = parameter.tensor;
    if (tensor.dim() == 2) tensor.mul_(8);
  }
  auto requests = Requests(40, 0.8);
  for (GenerationRequest& request : requests) request.max_new_tokens = 60;
  const auto recorded = RunAll(decoder, requests, {.batch = 8, .capacity = 80});
  const auto run = RunAll(decoder, requests, {.batch = 8, .capacity = 80, .use_graph = false});
  int64_t same = 0, all = 0;
  for (const GenerationRequest& request : requests) {
    EXPECT_EQ(recorded.at(request.tag).tokens, run.at(request.tag).tokens) << request.tag;
    if (request.temperature > 0) continue;
    // Against the pass without a cache: the first tokens, before a tie falls to the other side.
    std::vector<int64_t> tokens(request.prompt.begin(), request.prompt.end());
    for (const int32_t token : recorded.at(request.tag).tokens) tokens.push_back(token);
    const Tensor ids = at::tensor(tokens, at::kLong).to(*device);
    const auto layout = SegmentLayout::Make({ids.size(0)}, *device);
    const at::NoGradGuard guard;
    const Tensor likeliest = decoder.Logits(decoder.Forward(ids, layout).hidden).argmax(-1);
    const auto begin = static_cast<int64_t>(request.prompt.size());
    const int64_t count = ids.size(0) - begin;
    same +=
        likeliest.narrow(0, begin - 1, count).eq(ids.narrow(0, begin, count)).sum().item<int64_t>();
    all += count;
  }
  EXPECT_GT(static_cast<double>(same), 0.97 * static_cast<double>(all));
}

TEST(SampleTokens, FollowsTheDistribution) {
  const Tensor logits = at::tensor({0.1f, 0.2f, 0.7f, 0.0f}).log().expand({10000, 4}).contiguous();
  const Tensor noise = at::arange(10000, at::kFloat).div_(10000);
  const auto shares = [&](double temperature, const Tensor& top_p) {
    const Tensor drawn = SampleTokens(logits, {at::full({10000}, temperature), noise, top_p});
    std::vector<double> share;
    for (int64_t id = 0; id < 4; ++id)
      share.push_back(drawn.eq(id).to(at::kFloat).mean().item<double>());
    return share;
  };
  const auto near = [](const std::vector<double>& a, const std::vector<double>& b) {
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 2e-3) << i;
  };
  near(shares(1, {}), {0.1, 0.2, 0.7, 0});
  near(shares(0.5, {}), {0.01 / 0.54, 0.04 / 0.54, 0.49 / 0.54, 0});
  near(shares(0, {}), {0, 0, 1, 0});
  near(shares(1, at::full({10000}, 0.85)), {0, 0.2 / 0.9, 0.7 / 0.9, 0});
  near(shares(1, at::full({10000}, 0.3)), {0, 0, 1, 0});
  near(shares(1, at::full({10000}, 1.0)), {0.1, 0.2, 0.7, 0});
}

TEST(SampleTokens, DrawsNoTokenWithoutProbability) {
  // As many columns as several groups, most of them 0, and quantiles at both ends.
  const Tensor logits = at::full({6, 2048}, -INFINITY);
  for (const int64_t column : {700, 701, 1500}) logits.select(1, column).zero_();
  const Tensor noise = at::tensor({0.0f, 0.3333f, 0.3334f, 0.6666f, 0.6667f, 1 - 0x1p-24f});
  const Tensor drawn = SampleTokens(logits, {at::ones({6}), noise, {}});
  EXPECT_TRUE(drawn.equal(at::tensor({700, 700, 701, 701, 1500, 1500}, at::kLong))) << drawn;
}

}  // namespace
}  // namespace hearth::forge
