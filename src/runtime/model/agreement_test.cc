// The decoder against transformers in float32 on the dequantised weights, over 2,000 tokens of
// English and of code (tests/golden/agreement). Needs the development models.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <numeric>

#include "runtime/gguf/gguf.h"
#include "runtime/model/decoder.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {
namespace {

struct TopToken {
  uint32_t id;
  float logprob;
};

struct Golden {
  std::vector<TokenId> tokens;
  int num_top = 0;
  std::vector<TopToken> top;  // [tokens][num_top]

  const TopToken& at(size_t position, int rank) const {
    return top[position * static_cast<size_t>(num_top) + static_cast<size_t>(rank)];
  }
};

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Requires: a whole golden file; they are ours.
Golden ReadGolden(const std::string& path) {
  const std::string bytes = ReadFile(path);
  uint32_t sizes[2];
  EXPECT_GT(bytes.size(), 12u) << path;
  std::memcpy(sizes, bytes.data() + 4, sizeof(sizes));
  Golden golden;
  golden.tokens.resize(sizes[0]);
  golden.num_top = static_cast<int>(sizes[1]);
  const char* at = bytes.data() + 12;
  std::memcpy(golden.tokens.data(), at, sizes[0] * 4);
  at += sizes[0] * 4;
  for (uint32_t position = 0; position < sizes[0]; ++position, at += sizes[1] * 8) {
    for (uint32_t rank = 0; rank < sizes[1]; ++rank) {
      TopToken top;
      std::memcpy(&top.id, at + rank * 4, 4);
      std::memcpy(&top.logprob, at + sizes[1] * 4 + rank * 4, 4);
      golden.top.push_back(top);
    }
  }
  return golden;
}

struct Agreement {
  double top1 = 0;  // share of positions with the reference's most likely token
  // of those where the reference's margin (in log-probability) is 0.25 or more
  double clear_top1 = 0;
  double missed_margin = 0;  // the largest margin of a position with another most likely token
  // Mean KL divergence with all but the reference's top tokens lumped together. Lumping can only
  // lower it; IntegerActivationsDivergeLittle has the full one.
  double lumped_kl = 0;
};

class Accumulator {
 public:
  void Add(const Golden& golden, size_t position, std::span<const float> logits) {
    const float maximum = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - maximum);
    const double log_sum = maximum + std::log(sum);
    double reference_rest = 1, rest = 1, kl = 0;
    for (int rank = 0; rank < golden.num_top; ++rank) {
      const TopToken& top = golden.at(position, rank);
      const double reference = std::exp(static_cast<double>(top.logprob)),
                   logprob = logits[top.id] - log_sum;
      kl += reference * (top.logprob - logprob);
      reference_rest -= reference;
      rest -= std::exp(logprob);
    }
    if (reference_rest > 1e-9)
      kl += reference_rest * std::log(reference_rest / std::max(rest, 1e-9));
    kl_ += kl;
    const bool same = static_cast<size_t>(std::max_element(logits.begin(), logits.end()) -
                                          logits.begin()) == golden.at(position, 0).id;
    const float margin = golden.at(position, 0).logprob - golden.at(position, 1).logprob;
    const bool clear = margin >= 0.25f;
    if (!same) missed_margin_ = std::max(missed_margin_, margin);
    ++num_;
    num_same_ += same;
    num_clear_ += clear;
    num_clear_same_ += clear && same;
  }
  Agreement Get() const {
    return {static_cast<double>(num_same_) / num_,
            static_cast<double>(num_clear_same_) / num_clear_, missed_margin_, kl_ / num_};
  }

 private:
  int num_ = 0, num_same_ = 0, num_clear_ = 0, num_clear_same_ = 0;
  float missed_margin_ = 0;
  double kl_ = 0;
};

// A decoder with its KV cache, fed a text chunk by chunk.
class Reader {
 public:
  static constexpr int kChunk = 512, kRows = 128;

  Reader(const GgufFile& file, int num_tokens, bool integer_activations) : pool_(0) {
    DecoderOptions options;
    options.max_batch_tokens = kChunk;
    options.max_logits = kRows;
    options.integer_activations = integer_activations;
    auto decoder = Decoder::Load(file, pool_, options);
    EXPECT_TRUE(decoder) << decoder.error().message;
    decoder_ = std::move(*decoder);
    blocks_.resize((num_tokens + kKvBlockTokens - 1) / kKvBlockTokens);
    std::iota(blocks_.begin(), blocks_.end(), 0);
    auto kv = KvCacheStorage::Create(decoder_->kv_shape(KvStorage::kF16),
                                     static_cast<int>(blocks_.size()));
    EXPECT_TRUE(kv);
    kv_ = std::move(*kv);
  }

  void Read(std::span<const TokenId> tokens, int start) {
    const auto size = static_cast<int>(tokens.size());
    const SequenceSlice slice{tokens, start, blocks_, size};
    decoder_->Forward({&slice, 1}, kv_);
  }
  // Of rows [row, row + count) of the chunk just read; count <= kRows. Overwritten by the next
  // call.
  std::vector<std::span<const float>> Logits(int row, int count) {
    const float* logits = decoder_->Logits(row, count);
    std::vector<std::span<const float>> rows;
    for (int i = 0; i < count; ++i)
      rows.emplace_back(logits + i * decoder_->logits_stride(),
                        static_cast<size_t>(decoder_->hparams().vocab_size));
    return rows;
  }

 private:
  ThreadPool pool_;
  std::unique_ptr<Decoder> decoder_;
  std::vector<int> blocks_;
  KvCacheStorage kv_;
};

// Reads the golden's tokens with all readers in step and calls visit(position, one row of logits
// per reader) at each.
template <typename Visit>
void ReadTogether(const Golden& golden, std::vector<std::unique_ptr<Reader>>& readers,
                  Visit visit) {
  const auto num_tokens = static_cast<int>(golden.tokens.size());
  std::vector<std::vector<std::span<const float>>> logits(readers.size());
  std::vector<std::span<const float>> row(readers.size());
  for (int start = 0; start < num_tokens; start += Reader::kChunk) {
    const int size = std::min(Reader::kChunk, num_tokens - start);
    for (auto& reader : readers) reader->Read(std::span(golden.tokens).subspan(start, size), start);
    for (int first = 0; first < size; first += Reader::kRows) {
      const int count = std::min(Reader::kRows, size - first);
      for (size_t i = 0; i < readers.size(); ++i) logits[i] = readers[i]->Logits(first, count);
      for (int i = 0; i < count; ++i) {
        for (size_t reader = 0; reader < readers.size(); ++reader) row[reader] = logits[reader][i];
        visit(start + first + i, row);
      }
    }
  }
}

Agreement Measure(const GgufFile& file, const Golden& golden, bool integer_activations) {
  std::vector<std::unique_ptr<Reader>> readers;
  readers.push_back(
      std::make_unique<Reader>(file, static_cast<int>(golden.tokens.size()), integer_activations));
  Accumulator result;
  ReadTogether(golden, readers, [&](int position, const auto& row) {
    result.Add(golden, static_cast<size_t>(position), row[0]);
  });
  return result.Get();
}

// KL divergence of q from p over the whole vocabulary, in nats.
double FullDivergence(std::span<const float> p, std::span<const float> q) {
  const auto log_sum = [](std::span<const float> logits) {
    const double maximum = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit - maximum);
    return maximum + std::log(sum);
  };
  const double sum_p = log_sum(p), sum_q = log_sum(q);
  double divergence = 0;
  for (size_t i = 0; i < p.size(); ++i)
    divergence += std::exp(p[i] - sum_p) * ((p[i] - sum_p) - (q[i] - sum_q));
  return divergence;
}

struct AgreementCase {
  const char* name;
  const char* model_file;
  const char* golden;
  const char* text;
  bool float_path;  // slow: only where it takes seconds
};

class AgreementTest : public ::testing::TestWithParam<AgreementCase> {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("HEARTH_MODELS");
    const char* home = std::getenv("HOME");
    const std::string models =
        folder ? folder : std::string(home ? home : "") + "/.cache/hearth-models";
    auto file = GgufFile::Open(models + "/" + GetParam().model_file);
    if (!file) GTEST_SKIP() << "development model absent: " << file.error().message;
    file_ = std::move(*file);
    golden_ = ReadGolden(kFolder + GetParam().golden);
  }

  const std::string kFolder = "tests/golden/agreement/";
  GgufFile file_;
  Golden golden_;
};

INSTANTIATE_TEST_SUITE_P(
    Models, AgreementTest,
    ::testing::Values(AgreementCase{"Smollm2English", "SmolLM2-135M-Instruct.Q4_1.gguf",
                                    "smollm2-135m.english.agr", "english.txt", true},
                      AgreementCase{"Smollm2Code", "SmolLM2-135M-Instruct.Q4_1.gguf",
                                    "smollm2-135m.code.agr", "code.txt", true},
                      AgreementCase{"Coder05English", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                                    "coder-0.5b.english.agr", "english.txt", false},
                      AgreementCase{"Coder05Code", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                                    "coder-0.5b.code.agr", "code.txt", false},
                      AgreementCase{"Coder15English", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                                    "coder-1.5b.english.agr", "english.txt", false},
                      AgreementCase{"Coder15Code", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                                    "coder-1.5b.code.agr", "code.txt", false}),
    [](const auto& test) { return test.param.name; });

TEST_P(AgreementTest, IntegerActivationsStayClose) {
  const Agreement agreement = Measure(file_, golden_, true);
  std::printf("int8: top-1 %.4f, where clear %.4f, lumped KL %.6f\n", agreement.top1,
              agreement.clear_top1, agreement.lumped_kl);
  EXPECT_LE(agreement.lumped_kl, 0.005);
  EXPECT_GE(agreement.clear_top1, 0.995);
  EXPECT_GE(agreement.top1, 0.94);
}

TEST_P(AgreementTest, FloatActivationsAgree) {
  if (!GetParam().float_path && std::getenv("HEARTH_SLOW_TESTS") == nullptr) {
    GTEST_SKIP() << "takes minutes; set HEARTH_SLOW_TESTS to run it";
  }
  const Agreement agreement = Measure(file_, golden_, false);
  std::printf("float: top-1 %.4f, where clear %.4f, missed by %.4f, lumped KL %.8f\n",
              agreement.top1, agreement.clear_top1, agreement.missed_margin, agreement.lumped_kl);
  // Coder15English misses this by one place of 2,000, all of them ties but for rounding.
  EXPECT_GE(agreement.top1, 0.999);
  EXPECT_LE(agreement.missed_margin, 0.01);
  EXPECT_LE(agreement.lumped_kl, 1e-5);
}

// Against our float path, which is transformers' within a KL of 1e-5 (above): the goldens do not
// keep whole distributions.
TEST_P(AgreementTest, IntegerActivationsDivergeLittle) {
  if (std::getenv("HEARTH_SLOW_TESTS") == nullptr) {
    GTEST_SKIP() << "takes minutes; set HEARTH_SLOW_TESTS to run it";
  }
  const auto num_tokens = static_cast<int>(golden_.tokens.size());
  std::vector<std::unique_ptr<Reader>> readers;
  readers.push_back(std::make_unique<Reader>(file_, num_tokens, false));
  readers.push_back(std::make_unique<Reader>(file_, num_tokens, true));
  double sum = 0;
  ReadTogether(golden_, readers,
               [&](int, const auto& row) { sum += FullDivergence(row[0], row[1]); });
  std::printf("int8: full KL %.6f\n", sum / num_tokens);
  EXPECT_LE(sum / num_tokens, 0.005);
  EXPECT_GT(sum, 0);
}

TEST_P(AgreementTest, OurTokensAreTheReferences) {
  const auto tokenizer = Tokenizer::FromGguf(file_);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  std::vector<TokenId> tokens = (*tokenizer)->Encode(ReadFile(kFolder + GetParam().text), false);
  ASSERT_GE(tokens.size(), golden_.tokens.size());
  tokens.resize(golden_.tokens.size());
  EXPECT_EQ(tokens, golden_.tokens);
}

}  // namespace
}  // namespace hearth
