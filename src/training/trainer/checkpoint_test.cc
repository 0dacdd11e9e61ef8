#include "training/trainer/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "training/trainer/testing_tasks.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing_tasks::FreshFolder;

std::vector<NamedTensor> Parameters(int64_t columns = 5) {
  return {{"a", at::randn({3, columns}).requires_grad_(true)},
          {"b", at::randn({100}).requires_grad_(true)}};
}

FlatAdamW SteppedOptimizer(const std::vector<NamedTensor>& parameters) {
  FlatAdamW optimizer = FlatAdamW::Make(parameters, {}).value();
  for (const NamedTensor& parameter : parameters) {
    Tensor tensor = parameter.tensor;
    tensor.mutable_grad() = at::randn(tensor.sizes());
  }
  optimizer.GatherGradients();
  optimizer.Step(0.1, 1, 1);
  return optimizer;
}

const Facts kFacts = {{"seed", "3"}, {"learning_rate", "0.1"}};

TEST(Checkpoint, BringsBackWhatWasSaved) {
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_checkpoint");
  EXPECT_FALSE(NewestCheckpoint(folder));
  const auto parameters = Parameters();
  const FlatAdamW saved = SteppedOptimizer(parameters);
  TrainState state;
  state.step = 12;
  state.updates = 11;
  state.watchdog = {1.0 / 3, 11, 0, 1};
  state.best_held_out_loss = 0.1;
  state.best_step = 8;
  ASSERT_TRUE(SaveCheckpoint(folder, state, kFacts, saved, 2));
  const auto path = NewestCheckpoint(folder);
  ASSERT_TRUE(path);
  EXPECT_THAT(*path, HasSubstr("step-00000012"));

  const auto others = Parameters();
  FlatAdamW loaded = FlatAdamW::Make(others, {}).value();
  const auto result = LoadCheckpoint(*path, kFacts, loaded);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->step, 12);
  EXPECT_EQ(result->updates, 11);
  EXPECT_EQ(result->watchdog, state.watchdog);
  EXPECT_EQ(result->best_held_out_loss, state.best_held_out_loss);
  EXPECT_TRUE(loaded.master().equal(saved.master()));
  EXPECT_TRUE(loaded.moment1().equal(saved.moment1()));
  EXPECT_TRUE(loaded.moment2().equal(saved.moment2()));
  EXPECT_TRUE(others[0].tensor.equal(parameters[0].tensor));
}

TEST(Checkpoint, KeepsTheNewestAndNoHalfOnes) {
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_checkpoint_keep");
  const FlatAdamW optimizer = SteppedOptimizer(Parameters());
  // What a kill leaves behind is never taken for one.
  fs::create_directories(folder + "/step-00000999.unfinished");
  EXPECT_FALSE(NewestCheckpoint(folder));
  for (int64_t step = 5; step <= 20; step += 5) {
    TrainState state;
    state.step = step;
    ASSERT_TRUE(SaveCheckpoint(folder, state, kFacts, optimizer, 2));
  }
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  EXPECT_THAT(names, testing::UnorderedElementsAre("step-00000015", "step-00000020"));
}

TEST(Checkpoint, WhatDiffersIsNamedAndNothingIsTouched) {
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_checkpoint_differ");
  ASSERT_TRUE(SaveCheckpoint(folder, {}, kFacts, SteppedOptimizer(Parameters()), 1));
  const std::string path = NewestCheckpoint(folder).value();
  FlatAdamW optimizer = FlatAdamW::Make(Parameters(), {}).value();
  const Tensor before = optimizer.master().clone();
  const auto error = [&](const Facts& facts, FlatAdamW& into) {
    const auto result = LoadCheckpoint(path, facts, into);
    return result ? std::string() : result.error().message;
  };
  EXPECT_THAT(error({{"seed", "4"}, {"learning_rate", "0.1"}}, optimizer),
              HasSubstr("seed was 3, now 4"));
  EXPECT_THAT(error({{"seed", "3"}}, optimizer), HasSubstr("learning_rate was 0.1, now not there"));
  EXPECT_THAT(error({{"seed", "3"}, {"learning_rate", "0.1"}, {"rank", "8"}}, optimizer),
              HasSubstr("rank was not there, now 8"));
  FlatAdamW wider = FlatAdamW::Make(Parameters(6), {}).value();
  EXPECT_THAT(error(kFacts, wider), HasSubstr("was a [3, 5] at 128, now a [3, 6] at 128"));
  EXPECT_TRUE(optimizer.master().equal(before));
}

TEST(Checkpoint, DamagedFilesAreToldFromGoodOnes) {
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_checkpoint_damaged");
  ASSERT_TRUE(SaveCheckpoint(folder, {}, kFacts, SteppedOptimizer(Parameters()), 1));
  const std::string path = NewestCheckpoint(folder).value();
  FlatAdamW optimizer = FlatAdamW::Make(Parameters(), {}).value();
  {
    std::fstream file(path + "/moment2.f32", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(17);
    file.put('\x7f');
  }
  EXPECT_EQ(LoadCheckpoint(path, kFacts, optimizer).error().code, ErrorCode::kCorrupt);
  fs::resize_file(path + "/moment2.f32", 100);
  EXPECT_THAT(LoadCheckpoint(path, kFacts, optimizer).error().message, HasSubstr("100 bytes"));
  std::ofstream(path + "/state.json") << "{\"format\": 1";
  EXPECT_EQ(LoadCheckpoint(path, kFacts, optimizer).error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace hearth::forge
