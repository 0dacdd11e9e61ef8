// A model file is hostile until proven otherwise: whatever bytes of a good one are changed, loading
// it gives an error or an engine that answers.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <random>

#include "runtime/engine/engine.h"
#include "runtime/model/testing/tiny_model.h"

namespace hearth {
namespace {

using hearth::testing::TinyModelOptions;

class HostileModel : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "hostile_model_" + std::to_string(getpid()) + ".gguf";
    TinyModelOptions model;
    model.architecture = GetParam();
    model.num_layers = 1;
    model.hidden_size = 32;
    model.num_heads = 2;
    model.num_kv_heads = 1;
    model.ffn_size = 32;
    model.sliding_window = model.architecture == "gemma3" ? 16 : 0;
    model.rope_factors = model.architecture == "llama";
    ASSERT_TRUE(hearth::testing::WriteTinyModel(path_, model));
    std::ifstream in(path_, std::ios::binary);
    good_.assign(std::istreambuf_iterator<char>(in), {});
    header_bytes_ = good_.find("token_embd.weight") + 2000;
  }
  void TearDown() override { std::filesystem::remove(path_); }

  // True if the file was accepted.
  bool Try(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    EngineOptions options;
    options.num_threads = 1;
    options.use_disk_cache = false;
    options.max_batch_tokens = 32;
    options.max_sequences = 2;
    auto engine = Engine::Load(path_, options);
    if (!engine) {
      EXPECT_FALSE(engine.error().message.empty());
      return false;
    }
    if ((*engine)->description().is_embedding_model) {
      const auto embedding = (*engine)->Embed("hello");
      EXPECT_TRUE(embedding) << embedding.error().message;
      return true;
    }
    GenerateRequest request;
    request.prompt = (*engine)->tokenizer().Encode("Hello <|im_end|>", true, true);
    request.max_tokens = 4;
    std::promise<void> done;
    const auto id = (*engine)->Submit(std::move(request), [&](GenerateEvent event) {
      if (event.finished) done.set_value();
    });
    if (id) done.get_future().wait();
    (void)(*engine)->RenderChat({{"messages", jinja::Array{}}});
    return true;
  }

  std::string path_, good_;
  size_t header_bytes_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Architectures, HostileModel,
                         ::testing::Values("llama", "qwen2", "qwen3", "gemma3", "bert"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(HostileModel, ChangedBytesNeverCrash) {
  ASSERT_TRUE(Try(good_));
  const char* rounds = std::getenv("HEARTH_HOSTILE_ROUNDS");
  const int num_rounds = rounds ? std::atoi(rounds) : 150;
  int num_refused = 0;
  for (int round = 0; round < num_rounds; ++round) {
    std::mt19937 random(static_cast<unsigned>(round));
    std::string bytes = good_;
    const int num_changes = 1 + static_cast<int>(random() % 3);
    for (int change = 0; change < num_changes; ++change) {
      // Mostly in the header, where sizes and types stand.
      const size_t limit = random() % 4 == 0 ? bytes.size() : std::min(header_bytes_, bytes.size());
      const size_t at = random() % limit;
      static constexpr char kValues[] = {0, 1, -1, 127, -128, 2, 64};
      bytes[at] = random() % 2 == 0 ? kValues[random() % sizeof(kValues)]
                                    : static_cast<char>(bytes[at] ^ (1 << random() % 8));
    }
    if (random() % 8 == 0) bytes.resize(random() % bytes.size());
    SCOPED_TRACE("round " + std::to_string(round));
    num_refused += !Try(bytes);
  }
  EXPECT_GT(num_refused, 0);
  EXPECT_LT(num_refused, num_rounds);
}

}  // namespace
}  // namespace hearth
