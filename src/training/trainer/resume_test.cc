// A run that was stopped anywhere ends with the bits of one that was not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "training/trainer/checkpoint.h"
#include "training/trainer/testing_tasks.h"
#include "training/trainer/trainer.h"

namespace hearth::forge {
namespace {

using namespace testing_tasks;  // NOLINT
using ::testing::HasSubstr;

constexpr int64_t kSteps = 6, kBatchesPerStep = 3;

TrainerOptions Options(const std::string& folder) {
  TrainerOptions options = TinyOptions(kSteps);
  options.batches_per_step = kBatchesPerStep;
  options.checkpoint_folder = folder;
  return options;
}

// Dropout makes a wrong seed show.
Decoder Model() { return WithLora(TinyDecoder(), 0.2); }

std::vector<Tensor> Uninterrupted() {
  SftTask task(Model(), {});
  VectorSource source = TinySource(5);
  EXPECT_TRUE(Train(task, source, nullptr, Options("")));
  return Copies(task.decoder().LoraParameters());
}

TEST(Resume, StoppedBeforeAnyBatchItEndsWithTheSameBits) {
  const auto expected = Uninterrupted();
  for (int64_t batches = 0; batches < kSteps * kBatchesPerStep; ++batches) {
    const std::string folder = FreshFolder(testing::TempDir() + "hearth_resume");
    VectorSource source = TinySource(5);
    {
      SftTask task(Model(), {});
      TrainerOptions options = Options(folder);
      int64_t asked = 0;
      options.should_stop = [&] { return asked++ == batches; };
      const auto summary = Train(task, source, nullptr, options);
      ASSERT_TRUE(summary) << summary.error().message;
      EXPECT_TRUE(summary->stopped);
      EXPECT_EQ(summary->last_step, batches / kBatchesPerStep);
    }
    SftTask task(Model(), {});
    const auto summary = Train(task, source, nullptr, Options(folder));
    ASSERT_TRUE(summary) << summary.error().message;
    EXPECT_FALSE(summary->stopped);
    EXPECT_EQ(summary->first_step, batches / kBatchesPerStep + 1);
    EXPECT_TRUE(SameBits(Copies(task.decoder().LoraParameters()), expected))
        << "stopped before batch " << batches;
  }
}

TEST(Resume, ASignalInTheMidstOfAStepEndsItWithACheckpoint) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string folder = FreshFolder(testing::TempDir() + "hearth_resume_signal");
    VectorSource source = TinySource(5);
    const auto run = [&](bool interrupted) {
      WatchedTask task(Model(), [&](const BatchContext& context) {
        if (interrupted && context.index == 3 * kBatchesPerStep + 1) raise(signal);
      });
      TrainerOptions options = Options(folder);
      options.handle_signals = true;
      const auto summary = Train(task, source, nullptr, options);
      EXPECT_TRUE(summary);
      EXPECT_EQ(summary->stopped, interrupted);
      EXPECT_EQ(summary->last_step, interrupted ? 3 : kSteps);
      return Copies(task.inner().decoder().LoraParameters());
    };
    run(true);
    EXPECT_TRUE(SameBits(run(false), Uninterrupted()));
  }
}

// Full weights in half precision: the master has to come back, not what is computed with.
TEST(Resume, HalfPrecisionRunsResumeToTheBitToo) {
  VectorSource source = TinySource(5);
  const auto run = [&](const std::string& folder, int64_t stop_at) {
    SftTask task(TinyDecoder(7, at::kBFloat16), {});
    TrainerOptions options = Options(folder);
    options.checkpoint_every = 2;
    int64_t asked = 0;
    options.should_stop = [&] { return asked++ == stop_at; };
    EXPECT_TRUE(Train(task, source, nullptr, options));
    return Copies(task.decoder().Parameters());
  };
  const auto expected = run("", -1);
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_resume_half");
  EXPECT_FALSE(SameBits(run(folder, 10), expected));
  EXPECT_TRUE(SameBits(run(folder, -1), expected));
}

TEST(Resume, AFinishedRunDoesNothingAgainAndALongerOneGoesOn) {
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_resume_finished");
  VectorSource source = TinySource(5), held_out = TinySource(2, 9);
  const auto run = [&](int64_t max_steps) {
    WatchedTask task(Model(), {});
    int64_t batches = 0;
    task.change = [&](const BatchContext&, StepFigures&) { ++batches; };
    TrainerOptions options = Options(folder);
    options.max_steps = max_steps;
    const auto summary = Train(task, source, &held_out, options);
    EXPECT_TRUE(summary);
    EXPECT_EQ(summary->last_step, max_steps);
    EXPECT_FALSE(summary->evaluation.empty());
    return batches;
  };
  EXPECT_EQ(run(kSteps), kSteps * kBatchesPerStep);
  EXPECT_EQ(run(kSteps), 0);
  EXPECT_EQ(run(kSteps + 2), 2 * kBatchesPerStep);
}

TEST(Resume, OtherOptionsDataOrModelsAreRefusedByName) {
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_resume_refused");
  VectorSource source = TinySource(5);
  TrainerOptions options = Options(folder);
  options.max_steps = 2;
  options.facts = {{"dataset", "a"}};
  const auto run = [&](Decoder decoder, BatchSource& train, const TrainerOptions& with) {
    SftTask task(std::move(decoder), {});
    const auto summary = Train(task, train, nullptr, with);
    return summary ? std::string() : summary.error().message;
  };
  ASSERT_EQ(run(Model(), source, options), "");
  TrainerOptions other = options;
  other.schedule.learning_rate = 0.02;
  EXPECT_THAT(run(Model(), source, other), HasSubstr("learning_rate was 0.01, now 0.02"));
  other = options;
  other.facts = {{"dataset", "b"}};
  EXPECT_THAT(run(Model(), source, other), HasSubstr("dataset was a, now b"));
  VectorSource other_data = TinySource(5, 4);
  EXPECT_THAT(run(Model(), other_data, options), HasSubstr("first batch's hash was"));
  EXPECT_THAT(run(WithLora(TinyDecoder(), 0.1), source, options), HasSubstr("lora dropout was 0.2"));
  EXPECT_THAT(run(TinyDecoder(), source, options), HasSubstr("trained was adapter"));
  other = options;
  other.resume = false;
  other.schedule.learning_rate = 0.02;
  EXPECT_EQ(run(Model(), source, other), "");
}

TEST(Resume, TheWatchdogsMemoryComesBack) {
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_resume_watchdog");
  VectorSource source = TinySource(5);
  const auto run = [&](int64_t max_steps) {
    WatchedTask task(Model(), {});
    task.change = [](const BatchContext& context, StepFigures& figures) {
      if (context.step >= 3) figures.loss = figures.loss * NAN;
    };
    TrainerOptions options = Options(folder);
    options.max_steps = max_steps;
    options.watchdog.patience = 4;
    return Train(task, source, nullptr, options);
  };
  EXPECT_EQ(run(5)->skipped_steps, 3);
  EXPECT_THAT(run(9).error().message, HasSubstr("step 6: "));
}

}  // namespace
}  // namespace hearth::forge
