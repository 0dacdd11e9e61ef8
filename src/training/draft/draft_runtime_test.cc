// A draft made here must guess in the engine what it guesses here, and change nothing of the text.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <future>

#include "base/thread_pool.h"
#include "runtime/engine/engine.h"
#include "runtime/model/testing/tiny_model.h"
#include "runtime/spec_decode/state_head.h"
#include "training/draft/draft.h"
#include "training/draft/testing_base.h"

namespace hearth::forge {
namespace {

using hearth::testing::TinyModelOptions;
using hearth::testing::WriteTinyModel;

constexpr int kGuesses = 5;

class DraftInTheRuntime : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void WriteBase(const std::string& architecture) {
    TinyModelOptions options;
    options.architecture = architecture;
    options.num_layers = 3;
    options.type = options.head_type = TensorType::kF32;
    ASSERT_TRUE(WriteTinyModel(base_path_, options));
  }

  const std::string folder_ =
      ::testing::TempDir() + "hearth_draft_runtime_" + std::to_string(getpid()) + "/";
  const std::string base_path_ = folder_ + "base.gguf", draft_path_ = folder_ + "draft.gguf";
};

class TakeAll : public DraftBudget {
 public:
  bool WorthDrafting(const DraftCost&) override { return true; }
  void Spent(double) override {}
  bool Take(float) override { return true; }
};

// Five greedy guesses behind `tokens`, as torch makes them: guess by guess, each new one behind the
// others; the last row of the step that it belongs to.
std::vector<TokenId> TorchGuesses(const Decoder& base, const Draft& draft,
                                  std::vector<TokenId> tokens) {
  std::vector<TokenId> guesses;
  const auto anchor = static_cast<int64_t>(tokens.size()) - 2;
  for (int step = 0; step < kGuesses; ++step) {
    const std::vector<int64_t> wide(tokens.begin(), tokens.end());
    const Tensor ids = at::tensor(wide, at::kLong);
    const SegmentLayout layout = SegmentLayout::Make({ids.size(0)}, at::kCPU);
    const BaseStates states = RunBase(base, draft.taps, ids, layout);
    const auto heads = HeadStates(draft, base, {ids, &layout, states.taps}, step + 1);
    const Tensor logits = at::linear(heads.back().narrow(0, anchor, 1), draft.head);
    guesses.push_back(draft.token_ids[static_cast<size_t>(logits.argmax().item<int64_t>())]);
    tokens.push_back(guesses.back());
  }
  return guesses;
}

TEST_F(DraftInTheRuntime, AHeadGuessesThereWhatItGuessesHere) {
  const at::NoGradGuard guard;
  for (const char* architecture : {"llama", "qwen2"}) {
    WriteBase(architecture);
    const auto base = Decoder::Load(base_path_, {});
    ASSERT_TRUE(base) << base.error().message;
    std::vector<int32_t> ids;
    for (int32_t id = 0; id < 250; id += 3) ids.push_back(id);
    auto draft = Draft::FromBase(*base, {.taps = {2, 0}, .token_ids = ids});
    ASSERT_TRUE(draft) << draft.error().message;
    Stir(draft->Parameters(), 2);
    ASSERT_TRUE(draft->Save(draft_path_, {TensorType::kF32, TensorType::kF32}));

    const auto base_file = GgufFile::Open(base_path_);
    ThreadPool pool(0);
    hearth::DecoderOptions options;
    options.integer_activations = false;
    auto decoder = hearth::Decoder::Load(*base_file, pool, options);
    ASSERT_TRUE(decoder);
    auto head_file = GgufFile::Open(draft_path_);
    ASSERT_TRUE(head_file);
    StateHeadOptions head_options;
    head_options.integer_activations = false;
    auto head = StateHead::Load(std::move(*head_file), **decoder, *base_file, pool, head_options);
    ASSERT_TRUE(head) << head.error().message;
    ASSERT_TRUE((*head)->ReserveKv(4));
    auto kv = KvCacheStorage::Create((*decoder)->kv_shape(KvStorage::kF16), 1);
    ASSERT_TRUE(kv);

    std::vector<TokenId> tokens;
    for (int i = 0; i < 24; ++i) tokens.push_back((i * 37 + 11) % 250);
    const int block = 0;
    int same = 0, made = 0;
    // Three times, each behind tokens that came in pieces, as answers do.
    int computed = 0;
    for (const int known : {14, 15, 19}) {
      const std::span<const TokenId> so_far(tokens.data(), static_cast<size_t>(known));
      const int count = known - 1 - computed;
      const SequenceSlice slice{
          so_far.subspan(static_cast<size_t>(computed), static_cast<size_t>(count)),
          computed,
          {&block, 1},
          1};
      (*decoder)->Forward({&slice, 1}, *kv);
      const ObservedSlice observed{1, computed, count, 0};
      (*head)->Observe({&observed, 1});
      computed += count;
      TakeAll budget;
      SamplingOptions sampling;
      sampling.temperature = 0;
      Proposal proposal{1, so_far, &sampling, kGuesses, &budget, {}};
      Proposal* asked[] = {&proposal};
      (*head)->Propose(asked);
      const auto expected = TorchGuesses(*base, *draft, {so_far.begin(), so_far.end()});
      ASSERT_EQ(proposal.draft.size(), static_cast<size_t>(kGuesses));
      for (int i = 0; i < kGuesses; ++i) same += proposal.draft[i] == expected[i] ? 1 : 0;
      made += kGuesses;
      EXPECT_EQ(proposal.draft, expected) << architecture << " behind " << known;
    }
    EXPECT_EQ(same, made);
  }
}

struct Answer {
  std::vector<TokenId> tokens;
  int drafted = 0;
};

Answer Generate(Engine& engine, int variant) {
  GenerateRequest request;
  for (int t = 0; t < 9 + 7 * variant; ++t)
    request.prompt.push_back('a' + (t * (variant + 3)) % 11);
  request.max_tokens = 30;
  request.ignore_end_of_turn = true;
  request.sampling.temperature = variant % 2 == 0 ? 0.0f : 0.8f;
  request.sampling.seed = static_cast<uint64_t>(variant);
  Answer answer;
  std::promise<void> done;
  const auto id = engine.Submit(request, [&](GenerateEvent event) {
    for (const GeneratedToken& token : event.tokens) answer.tokens.push_back(token.sampled.id);
    if (!event.finished) return;
    answer.drafted = event.stats.draft_tokens;
    done.set_value();
  });
  EXPECT_TRUE(id);
  done.get_future().wait();
  return answer;
}

TEST_F(DraftInTheRuntime, TheTextStaysThatOfTheBase) {
  WriteBase("llama");
  const auto base = Decoder::Load(base_path_, {});
  ASSERT_TRUE(base);
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < 256; id += 2) ids.push_back(id);
  EngineOptions options;
  options.use_disk_cache = false;
  options.num_threads = 2;
  options.adaptive_draft = false;
  const auto plain = Engine::Load(base_path_, options);
  ASSERT_TRUE(plain);
  for (const bool is_head : {true, false}) {
    DraftOptions draft_options{.layers = {0, 2}, .token_ids = ids};
    if (is_head) draft_options.taps = {0, 1, 2};
    const auto draft = Draft::FromBase(*base, draft_options);
    ASSERT_TRUE(draft);
    ASSERT_TRUE(draft->Save(draft_path_, {TensorType::kQ4_0, TensorType::kQ8_0}));
    options.draft_path = draft_path_;
    const auto engine = Engine::Load(base_path_, options);
    ASSERT_TRUE(engine) << engine.error().message;
    int drafted = 0;
    for (int variant = 0; variant < 4; ++variant) {
      const Answer with = Generate(**engine, variant);
      EXPECT_EQ(with.tokens, Generate(**plain, variant).tokens) << is_head << " " << variant;
      drafted += with.drafted;
    }
    EXPECT_GT(drafted, 20);
  }
}

}  // namespace
}  // namespace hearth::forge
