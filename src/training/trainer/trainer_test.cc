// What the loop does with any task: steps, averages, watchdog, evaluation, figures.
#include "training/trainer/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "training/trainer/testing_tasks.h"

namespace hearth::forge {
namespace {

using namespace testing_tasks;  // NOLINT
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;

TEST(Trainer, LossFallsOnATinySet) {
  SftTask task(TinyDecoder(), {});
  VectorSource train = TinySource(4), held_out = TinySource(2);
  TrainerOptions options = TinyOptions(60);
  options.batches_per_step = 2;
  options.evaluate_first = true;
  options.evaluate_every = 20;
  MemorySink sink;
  options.sinks = {&sink};
  int64_t steps = 0;
  options.on_progress = [&](const TrainProgress& progress) {
    EXPECT_EQ(progress.step, ++steps);
    EXPECT_EQ(progress.num_steps, 60);
  };
  const auto summary = Train(task, train, &held_out, options);
  ASSERT_TRUE(summary) << summary.error().message;
  const auto& losses = sink.values["train/loss"];
  EXPECT_GT(losses.at(1), 2);
  EXPECT_LT(losses.at(60), 0.5 * losses.at(1));
  EXPECT_THAT(sink.values["eval/loss"], ElementsAre(Key(0), Key(20), Key(40), Key(60)));
  EXPECT_GT(sink.values["eval/accuracy"][60], sink.values["eval/accuracy"][0]);
  EXPECT_LT(summary->best_held_out_loss, sink.values["eval/loss"][0]);
  EXPECT_EQ(summary->evaluation.at(0).second, sink.values["eval/loss"][60]);
  EXPECT_EQ(summary->last_step, 60);
  EXPECT_EQ(steps, 60);
  EXPECT_GT(summary->tokens_per_second, 0);
  // Warm-up, then down to a tenth.
  EXPECT_DOUBLE_EQ(sink.values["train/learning_rate"][1], 5e-3);
  EXPECT_NEAR(sink.values["train/learning_rate"][60], 1e-3, 1e-12);
  EXPECT_GE(sink.flushes, 1);
}

// Batches of different sizes: an average of averages would weigh them alike.
TEST(Trainer, TwoBatchesAStepAreOneBatchOfBoth) {
  std::vector<Batch> apart, joined;
  for (uint64_t i = 0; i < 3; ++i) {
    apart.push_back(TinyBatch(2 * i));
    apart.push_back(TinyBatch(2 * i + 1));
    joined.push_back(Joined(apart[2 * i], apart[2 * i + 1]));
  }
  ASSERT_NE(apart[0].num_tokens(), apart[1].num_tokens());
  const auto result_of = [](std::vector<Batch> batches, int64_t batches_per_step) {
    SftTask task(TinyDecoder(), {});
    VectorSource source(std::move(batches));
    TrainerOptions options = TinyOptions(6);
    options.batches_per_step = batches_per_step;
    EXPECT_TRUE(Train(task, source, nullptr, options));
    return Copies(task.decoder().Parameters());
  };
  const auto whole = result_of(joined, 1), parts = result_of(apart, 2);
  EXPECT_GT(Distance(whole, Copies(TinyDecoder().Parameters())), 1e-2);
  EXPECT_LT(Distance(whole, parts), 1e-5);
}

TEST(Trainer, GradientsAreClippedToTheirMostNorm) {
  const auto distance = [](double most) {
    SftTask task(TinyDecoder(), {});
    VectorSource source = TinySource(1);
    TrainerOptions options = TinyOptions(1);
    options.max_gradient_norm = most;
    options.weight_decay = 0;
    options.eps = 1;  // so that the size of a gradient matters
    EXPECT_TRUE(Train(task, source, nullptr, options));
    return Distance(Copies(task.decoder().Parameters()), Copies(TinyDecoder().Parameters()));
  };
  EXPECT_LT(distance(1e-3), 0.01 * distance(0));
  EXPECT_EQ(distance(1e6), distance(0));
}

TEST(Trainer, ABadStepIsSkippedAndLeavesTheWeights) {
  const auto run = [](int bad_step, int64_t max_steps) {
    WatchedTask task(TinyDecoder(), {});
    task.change = [bad_step](const BatchContext& context, StepFigures& figures) {
      if (context.step == bad_step) figures.loss = figures.loss * NAN;
    };
    VectorSource source = TinySource(3);
    TrainerOptions options = TinyOptions(max_steps);
    options.schedule.kind = ScheduleKind::kConstant;
    MemorySink sink;
    options.sinks = {&sink};
    const auto summary = Train(task, source, nullptr, options);
    EXPECT_TRUE(summary);
    EXPECT_EQ(summary->skipped_steps, bad_step <= max_steps ? 1 : 0);
    EXPECT_EQ(sink.values["train/skipped"].count(3), bad_step == 3 && max_steps >= 3 ? 1u : 0u);
    return Copies(task.inner().decoder().Parameters());
  };
  EXPECT_TRUE(SameBits(run(3, 3), run(99, 2)));
  EXPECT_FALSE(SameBits(run(3, 4), run(99, 3)));
}

TEST(Trainer, BadGradientsAreSeenToo) {
  WatchedTask task(TinyDecoder(), {});
  task.change = [&task](const BatchContext&, StepFigures&) {
    task.inner().Parameters()[1].tensor.mutable_grad().fill_(INFINITY);
  };
  VectorSource source = TinySource(3);
  const auto before = Copies(task.inner().decoder().Parameters());
  const auto summary = Train(task, source, nullptr, TinyOptions(20));
  ASSERT_FALSE(summary);
  EXPECT_THAT(summary.error().message, HasSubstr("step 5: the loss is"));
  EXPECT_THAT(summary.error().message, HasSubstr("last of 5 bad steps in a row"));
  EXPECT_TRUE(SameBits(before, Copies(task.inner().decoder().Parameters())));
}

TEST(Trainer, AStepWithNothingToLearnChangesNothing) {
  Batch empty = TinyBatch(1);
  std::fill(empty.weights.begin(), empty.weights.end(), 0.0f);
  SftTask task(TinyDecoder(), {});
  VectorSource source({empty});
  const auto summary = Train(task, source, nullptr, TinyOptions(2));
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_TRUE(SameBits(Copies(task.decoder().Parameters()), Copies(TinyDecoder().Parameters())));
}

TEST(Trainer, LengthIsInStepsOrEpochs) {
  const auto steps = [](int64_t max_steps, double epochs, int64_t batches_per_step) {
    SftTask task(TinyDecoder(), {});
    VectorSource source = TinySource(5);
    TrainerOptions options = TinyOptions(max_steps);
    options.epochs = epochs;
    options.batches_per_step = batches_per_step;
    return Train(task, source, nullptr, options)->last_step;
  };
  EXPECT_EQ(steps(3, 9, 1), 3);
  EXPECT_EQ(steps(0, 2, 1), 10);
  EXPECT_EQ(steps(0, 1, 2), 3);
  EXPECT_EQ(steps(0, 0.01, 4), 1);
}

TEST(Trainer, TheHookSeesTheWeightsOfItsStep) {
  SftTask task(TinyDecoder(), {});
  VectorSource source = TinySource(2);
  TrainerOptions options = TinyOptions(7);
  std::vector<int64_t> steps;
  options.hook_every = 3;
  options.hook = [&](int64_t step) -> Status {
    steps.push_back(step);
    return {};
  };
  ASSERT_TRUE(Train(task, source, nullptr, options));
  EXPECT_THAT(steps, ElementsAre(3, 6, 7));
  options.hook = [](int64_t) -> Status { return MakeError(ErrorCode::kIo, "no room"); };
  EXPECT_EQ(Train(task, source, nullptr, options).error().message, "no room");
}

class FailingSource final : public BatchSource {
 public:
  int64_t batches_per_epoch() const override { return 10; }
  Result<Batch> At(int64_t index) override {
    if (index == 4) return MakeError(ErrorCode::kCorrupt, "row 17 is damaged");
    return TinyBatch(static_cast<uint64_t>(index));
  }
};

TEST(Trainer, ErrorsOfDataTaskAndOptionsComeBack) {
  SftTask task(TinyDecoder(), {});
  FailingSource failing;
  EXPECT_EQ(Train(task, failing, nullptr, TinyOptions(9)).error().message, "row 17 is damaged");

  VectorSource source = TinySource(2);
  EXPECT_THAT(Train(task, source, &source, TinyOptions(1)).error().message, HasSubstr("held-out"));
  TrainerOptions options = TinyOptions(1);
  options.batches_per_step = 0;
  EXPECT_THAT(Train(task, source, nullptr, options).error().message,
              HasSubstr("batches_per_step is 0"));
  options = TinyOptions(1);
  options.beta2 = 1;
  EXPECT_THAT(Train(task, source, nullptr, options).error().message, HasSubstr("beta2 is 1"));

  Batch wrong = TinyBatch(0);
  wrong.tokens[0] = 31;
  VectorSource wrong_source({wrong});
  EXPECT_THAT(Train(task, wrong_source, nullptr, TinyOptions(1)).error().message,
              HasSubstr("tokens holds 31"));
  WatchedTask throwing(TinyDecoder(), [](const BatchContext&) { at::ones({2}).view({3}); });
  EXPECT_THAT(Train(throwing, source, nullptr, TinyOptions(1)).error().message,
              HasSubstr("trainer: "));
}

}  // namespace
}  // namespace hearth::forge
