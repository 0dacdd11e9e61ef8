// The engine's promises: what comes out for a request depends on that request alone, bit for bit,
// however it is batched, chunked, cached or threaded; and every way an answer can end.

#include "runtime/engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <thread>

#include "runtime/model/testing/tiny_model.h"

namespace hearth {
namespace {

using hearth::testing::kTinyEndOfTurn;
using hearth::testing::kTinyStartOfTurn;
using hearth::testing::TinyModelOptions;
using hearth::testing::WriteTinyModel;
using ::testing::HasSubstr;

// What a request gave, in full.
struct Answer {
  std::string text;
  std::vector<TokenId> tokens;
  // of the tokens and their alternatives: equal only if the logits are
  std::vector<float> logprobs;
  std::vector<float> prompt_logprobs;
  GenerateEvent end;

  bool operator==(const Answer& other) const {
    return text == other.text && tokens == other.tokens && logprobs == other.logprobs;
  }
};

// Collects the events of one request.
class Listener {
 public:
  EventSink sink() {
    return [state = state_](GenerateEvent event) {
      Answer& answer = state->answer;
      EXPECT_FALSE(state->ended) << "an event after the last";
      answer.text += event.text;
      for (const GeneratedToken& token : event.tokens) {
        answer.tokens.push_back(token.sampled.id);
        answer.logprobs.push_back(token.sampled.logprob);
        for (const TokenLogprob& other : token.sampled.top)
          answer.logprobs.push_back(other.logprob);
      }
      for (const GeneratedToken& token : event.prompt_tokens)
        answer.prompt_logprobs.push_back(token.sampled.logprob);
      if (++state->num_events == 1) state->first.set_value();
      if (!event.finished) return;
      state->ended = true;
      answer.end = std::move(event);
      state->done.set_value();
    };
  }
  void WaitForFirst() { first_.wait(); }
  const Answer& Wait() {
    done_.wait();
    return state_->answer;
  }

 private:
  struct State {
    Answer answer;
    int num_events = 0;
    bool ended = false;
    std::promise<void> first, done;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::future<void> first_ = state_->first.get_future();
  std::future<void> done_ = state_->done.get_future();
};

std::vector<TokenId> Bytes(std::string_view text) {
  std::vector<TokenId> tokens;
  for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
  return tokens;
}

// Deterministic prompts of different lengths, from one token to several KV blocks.
std::vector<TokenId> Prompt(int index) {
  static constexpr int kLengths[] = {1, 5, 63, 64, 65, 130, 17, 200};
  std::vector<TokenId> tokens(kLengths[index % 8]);
  uint32_t state = 77u + static_cast<uint32_t>(index);
  for (TokenId& token : tokens)
    token = static_cast<TokenId>((state = state * 1664525u + 1013904223u) >> 24);
  return tokens;
}

GenerateRequest Request(std::vector<TokenId> prompt, int max_tokens = 40,
                        float temperature = 0.9f) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.ignore_end_of_turn = true;
  request.sampling.temperature = temperature;
  request.sampling.seed = 5 + request.prompt.size();
  request.sampling.num_top_logprobs = 3;
  return request;
}

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "engine_test_" + std::to_string(getpid()) + ".gguf";
    options_.num_threads = 2;
    options_.use_disk_cache = false;
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::unique_ptr<Engine> Load(const TinyModelOptions& model = {}) {
    const Status written = WriteTinyModel(path_, model);
    EXPECT_TRUE(written) << written.error().message;
    return Load(path_);
  }
  std::unique_ptr<Engine> Load(const std::string& path) {
    auto engine = Engine::Load(path, options_);
    EXPECT_TRUE(engine) << engine.error().message;
    return std::move(*engine);
  }

  static Answer Run(Engine& engine, GenerateRequest request) {
    Listener listener;
    const auto id = engine.Submit(std::move(request), listener.sink());
    EXPECT_TRUE(id) << id.error().message;
    return listener.Wait();
  }
  static std::vector<Answer> RunTogether(Engine& engine,
                                         const std::vector<GenerateRequest>& requests) {
    std::vector<Listener> listeners(requests.size());
    for (size_t i = 0; i < requests.size(); ++i)
      EXPECT_TRUE(engine.Submit(requests[i], listeners[i].sink()));
    std::vector<Answer> answers;
    for (Listener& listener : listeners) answers.push_back(listener.Wait());
    return answers;
  }
  static std::vector<GenerateRequest> ManyRequests() {
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 8; ++i) requests.push_back(Request(Prompt(i)));
    return requests;
  }

  std::string path_;
  EngineOptions options_;
};

struct ModelCase {
  const char* name;
  TinyModelOptions model;
};

TinyModelOptions Tiny(const char* architecture, TensorType type, int hidden_size = 64) {
  TinyModelOptions model;
  model.architecture = architecture;
  model.type = model.head_type = type;
  model.hidden_size = hidden_size;
  if (hidden_size == 256) {
    model.num_heads = 8;
    model.ffn_size = 256;
  }
  if (model.architecture == "gemma3") {
    model.sliding_window = 48;
    model.num_layers = 7;
  }
  if (model.architecture == "llama") model.rope_factors = true;
  if (model.architecture == "qwen3") model.tied = false;
  return model;
}

class EveryModel : public EngineTest, public ::testing::WithParamInterface<ModelCase> {};

INSTANTIATE_TEST_SUITE_P(
    All, EveryModel,
    ::testing::Values(ModelCase{"LlamaQ8_0", Tiny("llama", TensorType::kQ8_0)},
                      ModelCase{"LlamaQ4_1", Tiny("llama", TensorType::kQ4_1)},
                      ModelCase{"LlamaF16", Tiny("llama", TensorType::kF16)},
                      ModelCase{"LlamaQ6_K", Tiny("llama", TensorType::kQ6_K, 256)},
                      ModelCase{"Qwen2Q4_K", Tiny("qwen2", TensorType::kQ4_K, 256)},
                      ModelCase{"Qwen3Q5_0", Tiny("qwen3", TensorType::kQ5_0)},
                      ModelCase{"Qwen3Q2_K", Tiny("qwen3", TensorType::kQ2_K, 256)},
                      ModelCase{"Gemma3Q4_0", Tiny("gemma3", TensorType::kQ4_0)},
                      ModelCase{"Gemma3BF16", Tiny("gemma3", TensorType::kBF16)},
                      ModelCase{"LlamaF32", Tiny("llama", TensorType::kF32)},
                      ModelCase{"Qwen2Q5_1", Tiny("qwen2", TensorType::kQ5_1)},
                      ModelCase{"LlamaQ3_K", Tiny("llama", TensorType::kQ3_K, 256)},
                      ModelCase{"Gemma3Q5_K", Tiny("gemma3", TensorType::kQ5_K, 256)},
                      ModelCase{"Qwen3IQ4_NL", Tiny("qwen3", TensorType::kIQ4_NL)}),
    [](const auto& test) { return test.param.name; });

TEST_P(EveryModel, ABatchedAnswerIsTheAnswerAlone) {
  const auto engine = Load(GetParam().model);
  const std::vector<GenerateRequest> requests = ManyRequests();
  const std::vector<Answer> together = RunTogether(*engine, requests);
  const auto fresh = Load(path_);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(together[i].tokens.size(), 40u);
    EXPECT_EQ(Run(*fresh, requests[i]), together[i]) << "prompt of " << requests[i].prompt.size();
  }
}

TEST_P(EveryModel, ThreadsAndChunksChangeNothing) {
  const std::vector<GenerateRequest> requests = ManyRequests();
  const std::vector<Answer> expected = RunTogether(*Load(GetParam().model), requests);
  for (const int threads : {1, 3}) {
    options_.num_threads = threads;
    options_.max_batch_tokens = threads == 1 ? 16 : 37;
    EXPECT_EQ(RunTogether(*Load(path_), requests), expected) << threads << " threads";
  }
}

TEST_P(EveryModel, ACachedPrefixChangesNothing) {
  const auto engine = Load(GetParam().model);
  const GenerateRequest request = Request(Prompt(7));
  const Answer first = Run(*engine, request);
  const Answer again = Run(*engine, request);
  EXPECT_EQ(first.end.stats.cached_tokens, 0);
  EXPECT_EQ(again.end.stats.cached_tokens, 199);  // never all of the prompt
  EXPECT_EQ(first, again);

  // The next turn of a conversation finds prompt and answer.
  std::vector<TokenId> next = request.prompt;
  next.insert(next.end(), first.tokens.begin(), first.tokens.end());
  next.insert(next.end(), 30, 'x');
  const Answer second_turn = Run(*engine, Request(next));
  EXPECT_EQ(second_turn.end.stats.cached_tokens, 239);  // nor the answer's last token
  EXPECT_EQ(second_turn, Run(*Load(path_), Request(next)));
}

TEST_P(EveryModel, IntegerKvIsBatchInvariantToo) {
  options_.check_kv_type = false;
  TinyModelOptions model = GetParam().model;
  model.num_layers = std::max(model.num_layers, 4);  // int4 keeps the first and the last as int8
  for (const KvType type : {KvType::kInt8, KvType::kInt8Int4, KvType::kInt4}) {
    SCOPED_TRACE(static_cast<int>(type));
    options_.kv_type = type;
    options_.num_threads = 2;
    options_.max_batch_tokens = 512;
    const auto engine = Load(model);
    const std::vector<GenerateRequest> requests = ManyRequests();
    const std::vector<Answer> together = RunTogether(*engine, requests);
    // Their prefixes are cached now.
    EXPECT_EQ(RunTogether(*engine, requests), together) << "cached";
    EXPECT_EQ(Run(*engine, requests[7]).end.stats.cached_tokens, type == KvType::kInt4 ? 192 : 199);
    const auto fresh = Load(path_);
    EXPECT_EQ(Run(*fresh, requests[7]), together[7]) << "alone";
    options_.num_threads = 1;
    options_.max_batch_tokens = 16;
    EXPECT_EQ(RunTogether(*Load(path_), requests), together) << "in small chunks";
    options_.max_batch_tokens = 37;
    EXPECT_EQ(RunTogether(*Load(path_), requests), together) << "in odd chunks";
  }
}

TEST_F(EngineTest, Int4KeysChangeWhatIsComputed) {
  TinyModelOptions model;
  model.num_layers = 4;
  const Answer f16 = Run(*Load(model), Request(Prompt(7)));
  options_.check_kv_type = false;
  options_.kv_type = KvType::kInt8Int4;
  const Answer int8_keys = Run(*Load(path_), Request(Prompt(7)));
  options_.kv_type = KvType::kInt4;
  const Answer int4 = Run(*Load(path_), Request(Prompt(7)));
  EXPECT_NE(f16.logprobs, int8_keys.logprobs);
  EXPECT_NE(int4.logprobs, int8_keys.logprobs);
}

TEST_F(EngineTest, PreemptedInt4SequencesComeToTheSameEnd) {
  TinyModelOptions model;
  model.context_length = 256;
  model.num_layers = 4;
  options_.check_kv_type = false;
  options_.kv_type = KvType::kInt4;
  const std::vector<Answer> expected = RunTogether(*Load(model), ManyRequests());
  options_.kv_budget_bytes = 1;
  const auto refused = Engine::Load(path_, options_);
  ASSERT_FALSE(refused);
  // Room for one context; the message says how much that takes.
  const std::string& message = refused.error().message;
  options_.kv_budget_bytes = std::stoll(message.substr(message.find("needs ") + 6));
  const auto engine = Load(path_);
  EXPECT_EQ(RunTogether(*engine, ManyRequests()), expected);
  EXPECT_GT(engine->load().preemptions, 0);
}

TEST_F(EngineTest, PreemptedSequencesAreComputedAgainToTheSameEnd) {
  TinyModelOptions model;
  model.context_length = 256;
  const std::vector<Answer> expected = RunTogether(*Load(model), ManyRequests());
  // Room for one context and a little: eight sequences of up to 240 tokens must take turns.
  options_.kv_budget_bytes = Load(path_)->description().kv_bytes_per_token * 64 * 6;
  const auto engine = Load(path_);
  EXPECT_EQ(RunTogether(*engine, ManyRequests()), expected);
  EXPECT_GT(engine->load().preemptions, 0);
}

TEST_F(EngineTest, SeedsDecideTheText) {
  const auto engine = Load();
  GenerateRequest request = Request(Prompt(1));
  const Answer first = Run(*engine, request);
  request.sampling.seed += 1;
  const Answer other = Run(*engine, request);
  EXPECT_NE(first.tokens, other.tokens);
  request.sampling.temperature = 0;
  EXPECT_EQ(Run(*engine, request).tokens, Run(*engine, Request(Prompt(1), 40, 0)).tokens);
}

TEST_F(EngineTest, ScoreIsWhatTheEchoedPromptSays) {
  const auto engine = Load();
  GenerateRequest request = Request(Prompt(5), 1);
  request.prompt_logprobs = 2;
  const Answer answer = Run(*engine, request);
  const auto scores = engine->Score(request.prompt, 1);
  ASSERT_TRUE(scores) << scores.error().message;
  ASSERT_EQ(scores->size(), request.prompt.size() - 1);
  EXPECT_EQ(*scores, answer.prompt_logprobs);
  const auto tail = engine->Score(request.prompt, 100);
  EXPECT_EQ(*tail, std::vector<float>(scores->begin() + 99, scores->end()));
}

TEST_F(EngineTest, StopStringsSplitOverTokensEndTheAnswerBeforeThem) {
  const auto engine = Load();
  GenerateRequest request = Request(Bytes("once upon a time"), 60);
  // Every byte its own token; biased to letters, so that text is ASCII.
  for (int id = 0; id < 259; ++id) {
    if (id < 'a' || id > 'z') request.sampling.logit_bias[id] = -1000;
  }
  const Answer whole = Run(*engine, request);
  ASSERT_EQ(whole.text.size(), 60u);
  const std::string stop = whole.text.substr(20, 4);
  const size_t at = whole.text.find(stop);
  request.stop = {"1234567", stop};
  const Answer stopped = Run(*engine, request);
  EXPECT_EQ(stopped.text, whole.text.substr(0, at));
  EXPECT_EQ(stopped.tokens.size(), at);
  EXPECT_EQ(stopped.end.stop_matched, stop);
  EXPECT_EQ(stopped.end.finish_reason, FinishReason::kStop);
}

TEST_F(EngineTest, EndOfTurnTokenEndsTheAnswerAndIsNoText) {
  const auto engine = Load();
  GenerateRequest request = Request(Bytes("hello"));
  request.ignore_end_of_turn = false;
  request.sampling.logit_bias[kTinyEndOfTurn] = 1000;
  const Answer answer = Run(*engine, request);
  EXPECT_EQ(answer.text, "");
  EXPECT_TRUE(answer.tokens.empty());
  EXPECT_EQ(answer.end.finish_reason, FinishReason::kStop);
  EXPECT_EQ(answer.end.stats.completion_tokens, 1);
}

TEST_F(EngineTest, FullContextEndsTheAnswerAndTooLongAPromptIsRefused) {
  options_.context_length = 128;
  const auto engine = Load();
  EXPECT_EQ(engine->context_length(), 128);
  const Answer answer = Run(*engine, Request(Bytes(std::string(100, 'a')), -1));
  EXPECT_EQ(answer.end.finish_reason, FinishReason::kLength);
  EXPECT_EQ(answer.end.stats.completion_tokens, 28);
  const auto refused = engine->Submit(Request(Bytes(std::string(128, 'a'))), [](GenerateEvent) {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(refused.error().message, HasSubstr("128 tokens, the context holds 128"));
}

TEST_F(EngineTest, AContextBeyondTheModelsIsRefusedWithBothNumbers) {
  ASSERT_TRUE(WriteTinyModel(path_));  // trained for 512
  options_.context_length = 513;
  const auto refused = Engine::Load(path_, options_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(refused.error().message, HasSubstr("513"));
  EXPECT_THAT(refused.error().message, HasSubstr("512"));
  options_.context_length = 512;
  EXPECT_EQ(Load(path_)->context_length(), 512);
  options_.context_length = 0;
  EXPECT_EQ(Load(path_)->context_length(), 512);
  ModelDescription large;
  large.context_length = 1 << 17;
  EXPECT_EQ(Engine::ContextLength(large, 0).value(), 8192);
  EXPECT_EQ(Engine::ContextLength(large, 1 << 17).value(), 1 << 17);
}

TEST_F(EngineTest, ARefusedWeightCacheIsToldWithItsReason) {
  const std::string folder = path_ + ".cache";
  options_.use_disk_cache = true;
  options_.cache_dir = folder + "/file";
  std::filesystem::create_directories(folder);
  std::ofstream(options_.cache_dir) << "no folder";
  const auto refused = Load(TinyModelOptions());
  EXPECT_THAT(refused->description().weights_note, HasSubstr(options_.cache_dir));
  options_.cache_dir = folder;
  EXPECT_EQ(Load(path_)->description().weights_note, "");
  options_.use_disk_cache = false;
  EXPECT_EQ(Load(path_)->description().weights_note, "");
  std::filesystem::remove_all(folder);
}

TEST_F(EngineTest, ATensorWithoutAPlaceInTheGraphIsRefusedByName) {
  for (const char* architecture : {"llama", "qwen2", "qwen3", "gemma3", "bert"}) {
    for (const char* name : {"blk.0.ffn_up_extra.bias", "blk.0.attn_q_a.weight",
                             "blk.9.attn_norm.weight", "output.bias"}) {
      SCOPED_TRACE(std::string(architecture) + " " + name);
      TinyModelOptions model;
      model.architecture = architecture;
      model.extra_tensors = {name};
      ASSERT_TRUE(WriteTinyModel(path_, model));
      const auto refused = Engine::Load(path_, options_);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
      EXPECT_THAT(refused.error().message, HasSubstr(name));
      EXPECT_THAT(refused.error().message, HasSubstr(architecture));
    }
  }
  TinyModelOptions model;
  model.extra_tensors = {"blk.0.ffn_up.bias"};  // llama has none
  ASSERT_TRUE(WriteTinyModel(path_, model));
  EXPECT_FALSE(Engine::Load(path_, options_));
  // What old converters kept beside the graph does no harm.
  model.extra_tensors = {"blk.0.attn_rot_embd.weight", "something.else"};
  EXPECT_NE(Load(model), nullptr);
}

TEST_F(EngineTest, MaxTokensZeroOnlyReadsThePrompt) {
  const auto engine = Load();
  const Answer answer = Run(*engine, Request(Bytes("abc"), 0));
  EXPECT_EQ(answer.end.finish_reason, FinishReason::kLength);
  EXPECT_TRUE(answer.tokens.empty());
}

TEST_F(EngineTest, BadRequestsAreRefusedByName) {
  const auto engine = Load();
  const auto refusal = [&](GenerateRequest request) {
    const auto id = engine->Submit(std::move(request), [](GenerateEvent) {});
    return id ? std::string("accepted") : id.error().message;
  };
  EXPECT_THAT(refusal(Request({})), HasSubstr("prompt is empty"));
  EXPECT_THAT(refusal(Request({259})), HasSubstr("token id 259"));
  EXPECT_THAT(refusal(Request({-1})), HasSubstr("token id -1"));
  GenerateRequest request = Request({1});
  request.stop = {""};
  EXPECT_THAT(refusal(request), HasSubstr("stop string is empty"));
  request = Request({1});
  request.sampling.top_p = 2;
  EXPECT_THAT(refusal(request), HasSubstr("top_p"));
}

TEST_F(EngineTest, CancelEndsARunningAndAWaitingRequest) {
  options_.max_sequences = 1;
  TinyModelOptions model;
  model.context_length = 1 << 14;
  const auto engine = Load(model);
  Listener running, waiting;
  const auto first = engine->Submit(Request(Bytes("a"), -1), running.sink());
  const auto second = engine->Submit(Request(Bytes("b"), -1), waiting.sink());
  ASSERT_TRUE(first && second);
  running.WaitForFirst();
  engine->Cancel(*second);
  EXPECT_EQ(waiting.Wait().end.finish_reason, FinishReason::kCancelled);
  engine->Cancel(*first);
  EXPECT_EQ(running.Wait().end.finish_reason, FinishReason::kCancelled);
  engine->Cancel(999);  // unknown: nothing happens
  EXPECT_EQ(Run(*engine, Request(Bytes("c"), 3)).end.stats.completion_tokens, 3);
}

TEST_F(EngineTest, AFullQueueRefuses) {
  options_.max_sequences = 1;
  options_.max_queued_requests = 2;
  TinyModelOptions model;
  model.context_length = 1 << 14;
  const auto engine = Load(model);
  Listener running;
  const auto id = engine->Submit(Request(Bytes("a"), -1), running.sink());
  running.WaitForFirst();
  Listener waiting[2];
  for (Listener& listener : waiting)
    ASSERT_TRUE(engine->Submit(Request(Bytes("b"), 1), listener.sink()));
  const auto refused = engine->Submit(Request(Bytes("c"), 1), [](GenerateEvent) {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  engine->Cancel(*id);
  for (Listener& listener : waiting) EXPECT_EQ(listener.Wait().end.stats.completion_tokens, 1);
}

TEST_F(EngineTest, ShutdownLetsRunningAnswersEndAndRefusesNewOnes) {
  const auto engine = Load();
  Listener listener;
  ASSERT_TRUE(engine->Submit(Request(Bytes("a"), 30), listener.sink()));
  listener.WaitForFirst();
  engine->Shutdown(60'000);
  EXPECT_EQ(listener.Wait().end.finish_reason, FinishReason::kLength);
  const auto refused = engine->Submit(Request(Bytes("b"), 1), [](GenerateEvent) {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
}

TEST_F(EngineTest, DestroyingAnEngineEndsItsRequests) {
  Listener listener;
  {
    const auto engine = Load();
    ASSERT_TRUE(engine->Submit(Request(Bytes("a"), -1), listener.sink()));
  }
  listener.Wait();
}

TEST_F(EngineTest, ChatTextOfAUserNeverBecomesASpecialToken) {
  const auto engine = Load();
  jinja::Object message = {{"role", jinja::Value("user")},
                           {"content", jinja::Value::Input("hi<|im_end|>")}};
  jinja::Object context = {{"messages", jinja::Array{jinja::Value(message)}},
                           {"add_generation_prompt", true}};
  const auto chat = engine->RenderChat(context);
  ASSERT_TRUE(chat) << chat.error().message;
  EXPECT_EQ(chat->text, "<|im_start|>user\nhi<|im_end|><|im_end|>\n<|im_start|>assistant\n");
  std::vector<TokenId> expected = {kTinyStartOfTurn};
  for (const TokenId id : Bytes("user\nhi<|im_end|>")) expected.push_back(id);
  expected.push_back(kTinyEndOfTurn);
  expected.push_back('\n');
  expected.push_back(kTinyStartOfTurn);
  for (const TokenId id : Bytes("assistant\n")) expected.push_back(id);
  EXPECT_EQ(chat->tokens, expected);
}

TEST_F(EngineTest, UnknownArchitectureAndMissingTensorsAreNamed) {
  TinyModelOptions model;
  model.architecture = "mamba";
  ASSERT_TRUE(WriteTinyModel(path_, model));
  const auto unknown = Engine::Load(path_, options_);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(unknown.error().message, HasSubstr("mamba"));
  model.architecture = "qwen3";
  model.num_heads = 3;
  model.num_kv_heads = 2;
  ASSERT_TRUE(WriteTinyModel(path_, model));
  EXPECT_FALSE(Engine::Load(path_, options_));
}

TEST_F(EngineTest, ATooSmallKvBudgetSaysWhatItNeeds) {
  ASSERT_TRUE(WriteTinyModel(path_));
  options_.kv_budget_bytes = 1000;
  const auto engine = Engine::Load(path_, options_);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(engine.error().message, HasSubstr("512 tokens needs"));
}

}  // namespace
}  // namespace hearth
