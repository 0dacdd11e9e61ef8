// The self-check of KV types: what it measures, what it decides, and what it remembers.

#include "runtime/engine/kv_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "runtime/kernels/kernels.h"
#include "runtime/model/testing/tiny_model.h"

namespace hearth {
namespace {

using hearth::testing::TinyModelOptions;
using hearth::testing::WriteTinyModel;
using ::testing::HasSubstr;

constexpr KvAgreement kGood{0.001, 0.99, 0, 0, 500};
constexpr KvAgreement kBad{0.5, 0.6, 0, 0, 500};

class KvCheckTest : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Gives `bad` types kBad and the others kGood, counting.
  MeasureKv Measure(std::vector<KvType> bad) {
    return [this, bad](KvType type) -> Result<KvAgreement> {
      ++num_measured_;
      return std::ranges::find(bad, type) == bad.end() ? kGood : kBad;
    };
  }

  const std::string folder_ = ::testing::TempDir() + "kv_check_test_" + std::to_string(::getpid());
  int num_measured_ = 0;
};

TEST_F(KvCheckTest, AGoodTypeIsServed) {
  const auto choice = ChooseKvType(KvType::kInt4, KvVerdicts("", ""), Measure({}));
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->type, KvType::kInt4);
  EXPECT_EQ(choice->note, "");
  EXPECT_EQ(choice->agreement->kl, kGood.kl);
}

TEST_F(KvCheckTest, ABadTypeGivesWayToTheNextFinerOneAndSaysSo) {
  const KvVerdicts none("", "");
  auto choice = ChooseKvType(KvType::kInt4, none, Measure({KvType::kInt4}));
  EXPECT_EQ(choice->type, KvType::kInt8Int4);
  EXPECT_THAT(choice->note, HasSubstr("int4 changes what this model says too much (KL 0.5000"));
  choice = ChooseKvType(KvType::kInt4, none, Measure({KvType::kInt4, KvType::kInt8Int4}));
  EXPECT_EQ(choice->type, KvType::kInt8);
  EXPECT_THAT(choice->note, HasSubstr("; int8-int4 changes"));
  choice = ChooseKvType(KvType::kInt8, none, Measure({KvType::kInt8}));
  EXPECT_EQ(choice->type, KvType::kF16);
  EXPECT_FALSE(choice->agreement);
}

TEST_F(KvCheckTest, NanIsNotGoodEnough) {
  EXPECT_FALSE(IsGoodEnough({std::nan(""), 1, 0, 0, 10}));
  EXPECT_FALSE(IsGoodEnough({0.001, 0.5, 0, 0, 10}));
  EXPECT_TRUE(IsGoodEnough(kGood));
}

TEST_F(KvCheckTest, ALaterStartReadsTheVerdictInsteadOfMeasuring) {
  const KvVerdicts verdicts(folder_, "model");
  ASSERT_TRUE(ChooseKvType(KvType::kInt4, verdicts, Measure({KvType::kInt4})));
  EXPECT_EQ(num_measured_, 2);
  const auto again = ChooseKvType(KvType::kInt4, verdicts, Measure({}));
  EXPECT_EQ(num_measured_, 2);
  EXPECT_EQ(again->type, KvType::kInt8Int4);
  EXPECT_NEAR(again->agreement->kl, kGood.kl, 1e-7);
  EXPECT_THAT(again->note, HasSubstr("KL 0.5000"));
  EXPECT_EQ(KnownKvChoice(KvType::kInt4, verdicts).type, KvType::kInt8Int4);
  // Another model has its own.
  ASSERT_TRUE(ChooseKvType(KvType::kInt4, KvVerdicts(folder_, "other"), Measure({})));
  EXPECT_EQ(num_measured_, 3);
}

TEST_F(KvCheckTest, WhatIsNotMeasuredYetIsSaidToBeTheTypeAskedFor) {
  const KvChoice choice = KnownKvChoice(KvType::kInt4, KvVerdicts(folder_, "model"));
  EXPECT_EQ(choice.type, KvType::kInt4);
  EXPECT_FALSE(choice.agreement);
  EXPECT_EQ(choice.note, "");
}

TEST_F(KvCheckTest, DamagedVerdictsAreMeasuredAgain) {
  const KvVerdicts verdicts(folder_, "model");
  ASSERT_TRUE(ChooseKvType(KvType::kInt8, verdicts, Measure({})));
  for (const char* damaged : {"", "hearth-kv-check 2", "hearth-kv-check 999 0.1 0.9 100\n",
                              "something else 1 2 3 4", "hearth-kv-check 2 nan 1 100"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      std::ofstream(entry.path()) << damaged;
    num_measured_ = 0;
    EXPECT_EQ(ChooseKvType(KvType::kInt8, verdicts, Measure({}))->type, KvType::kInt8);
    EXPECT_EQ(num_measured_, 1) << damaged;
  }
}

TEST_F(KvCheckTest, TheFirstStartOfAModelKeepsItsVerdict) {
  std::filesystem::create_directories(folder_);
  TinyModelOptions model;
  model.num_layers = 4;
  ASSERT_TRUE(WriteTinyModel(folder_ + "/tiny.gguf", model));
  EngineOptions options;
  options.num_threads = 1;
  options.cache_dir = folder_ + "/cache";
  options.kv_type = KvType::kInt4;
  int num_verdicts = 0;
  std::vector<double> progress = {0};
  options.on_kv_check_progress = [&](double done) { progress.push_back(done); };
  {
    const auto engine = Engine::Load(folder_ + "/tiny.gguf", options);
    ASSERT_TRUE(engine) << engine.error().message;
  }
  // The second start must read what is there, not measure.
  for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/cache/kv")) {
    EXPECT_THAT(entry.path().filename().string(), HasSubstr(Kernels().name));
    std::ofstream(entry.path()) << "hearth-kv-check 2 0.00125 0.99 100\n";
    ++num_verdicts;
  }
  EXPECT_GE(num_verdicts, 1);
  EXPECT_EQ(progress.back(), 1);
  options.on_kv_check_progress = [](double) { ADD_FAILURE() << "measured again"; };
  const auto engine = Engine::Load(folder_ + "/tiny.gguf", options);
  ASSERT_TRUE(engine);
  EXPECT_EQ((*engine)->description().kv_type, KvType::kInt4);
  ASSERT_TRUE((*engine)->description().kv_kl);
  EXPECT_EQ(*(*engine)->description().kv_kl, 0.00125);
  EXPECT_EQ((*engine)->description().kv_note, "");
}

TEST_F(KvCheckTest, F16DiffersFromItselfInNothingAndInt4InSomething) {
  std::filesystem::create_directories(folder_);
  TinyModelOptions model;
  model.num_layers = 4;
  ASSERT_TRUE(WriteTinyModel(folder_ + "/tiny.gguf", model));
  EngineOptions options;
  options.use_disk_cache = false;
  const std::string text(400, 'x');
  const auto same = CompareKv(folder_ + "/tiny.gguf", options, text, 300);
  ASSERT_TRUE(same) << same.error().message;
  EXPECT_EQ(same->kl, 0);
  EXPECT_EQ(same->top1, 1);
  EXPECT_EQ(same->nll, same->nll_reduced);
  EXPECT_EQ(same->num_positions, 149);
  options.kv_type = KvType::kInt4;
  std::vector<double> progress;
  options.on_kv_check_progress = [&](double done) { progress.push_back(done); };
  const auto reduced = CompareKv(folder_ + "/tiny.gguf", options, text, 300);
  EXPECT_GT(progress.size(), 5u);
  EXPECT_TRUE(std::ranges::is_sorted(progress));
  EXPECT_EQ(progress.back(), 1);
  EXPECT_GT(reduced->kl, 0);
  EXPECT_LT(reduced->kl, 0.05);
  EXPECT_FALSE(CompareKv(folder_ + "/tiny.gguf", options, "short", 300));
}

}  // namespace
}  // namespace hearth
