// Several processes are one with more batches, and a killed one goes on: this program starts copies
// of itself, which run the tests named Worker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "base/mapped_file.h"
#include "training/trainer/checkpoint.h"
#include "training/trainer/launcher.h"
#include "training/trainer/testing_tasks.h"
#include "training/trainer/trainer.h"

namespace hearth::forge {
namespace {

using namespace testing_tasks;  // NOLINT
using ::testing::HasSubstr;

constexpr int64_t kSteps = 5;

std::string Self() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

TrainerOptions Options(const std::string& folder, int64_t batches_per_step) {
  TrainerOptions options = TinyOptions(kSteps);
  options.batches_per_step = batches_per_step;
  options.checkpoint_folder = folder;
  options.checkpoint_every = 2;
  return options;
}

// The weights at a run's end, from its last checkpoint.
Tensor MasterOf(const std::string& folder) {
  const std::string path = NewestCheckpoint(folder).value() + "/master.f32";
  const auto file = MappedFile::Open(path).value();
  auto* data = const_cast<std::byte*>(file.bytes().data());
  return at::from_blob(data, {static_cast<int64_t>(file.bytes().size() / sizeof(float))},
                       at::kFloat)
      .clone();
}

Tensor Alone(int64_t batches_per_step) {
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_processes_alone");
  SftTask task(WithLora(TinyDecoder(), 0.2), {});
  VectorSource source = TinySource(7);
  EXPECT_TRUE(Train(task, source, nullptr, Options(folder, batches_per_step)));
  return MasterOf(folder);
}

TEST(DeviceOfProcess, IsItsOwnGpuWhereThereAreSeveral) {
  const ProcessEnvironment second{.rank = 1, .world_size = 2, .local_rank = 1};
  EXPECT_EQ(DeviceOfProcess("cpu", second).value_or("an error"), "cpu");
  EXPECT_EQ(DeviceOfProcess("auto", {}).value_or("an error"), "auto");
  EXPECT_FALSE(DeviceOfProcess("gpu", second));
  if (!ParseDevice("cuda")) return;  // what follows needs a GPU
  EXPECT_EQ(DeviceOfProcess("auto", second).value_or("an error"), "cuda:1");
  const auto numbered = DeviceOfProcess("cuda:0", second);
  ASSERT_FALSE(numbered);
  EXPECT_THAT(numbered.error().message, HasSubstr("cuda:0"));
}

// What a copy does, by the environment.
TEST(Worker, Trains) {
  const std::string folder = Variable("HEARTH_TEST_FOLDER");
  if (folder.empty()) GTEST_SKIP() << "only as a copy that another test starts";
  const auto environment = ReadProcessEnvironment();
  ASSERT_TRUE(environment) << environment.error().message;
  std::unique_ptr<ProcessGroup> group;
  if (environment->world_size > 1) {
    auto joined = ProcessGroup::Join(*environment, at::kCPU, 60);
    ASSERT_TRUE(joined) << joined.error().message;
    group = std::move(*joined);
    EXPECT_EQ(group->world_size(), 2);
  }
  TrainerOptions options = Options(folder, std::stoll(Variable("HEARTH_TEST_BATCHES")));
  options.group = group.get();
  // Different weights to begin with: those of process 0 count.
  Decoder decoder = TinyDecoder();
  decoder = WithLora(std::move(decoder), 0.2);
  if (environment->rank == 1) decoder.LoraParameters()[0].tensor.detach().mul_(2);
  const int64_t kill_at = std::atoll(Variable("HEARTH_TEST_KILL").c_str());
  const int64_t stop_at = std::atoll(Variable("HEARTH_TEST_STOP").c_str());
  WatchedTask task(std::move(decoder), [&](const BatchContext& context) {
    if (kill_at > 0 && context.step == kill_at) raise(SIGKILL);
  });
  int64_t asked = 0;
  if (stop_at > 0 && environment->rank == 1)
    options.should_stop = [&] { return ++asked == stop_at; };
  if (Variable("HEARTH_TEST_OTHER") == std::to_string(environment->rank))
    options.schedule.learning_rate = 0.5;
  VectorSource source = TinySource(7), held_out = TinySource(3, 9);
  const auto summary = Train(task, source, &held_out, options);
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary->stopped, stop_at > 0);
  if (environment->rank == 0 && stop_at == 0) {
    double alone = 0, weight = 0;
    for (int64_t i = 0; i < 3; ++i) {
      const auto figures = task.EvaluateBatch(held_out.At(i).value(), {});
      alone += figures->loss.item<double>();
      weight += figures->weight.item<double>();
    }
    EXPECT_NEAR(summary->evaluation.at(0).second, alone / weight, 1e-6);
  }
}

Status RunCopies(int count, const std::string& folder,
                 std::vector<std::string> variables = {"HEARTH_TEST_BATCHES=2"}) {
  LaunchOptions options;
  options.num_processes = count;
  options.command = {"env", "HEARTH_TEST_FOLDER=" + folder};
  options.command.insert(options.command.end(), variables.begin(), variables.end());
  options.command.push_back(Self());
  options.command.push_back("--gtest_filter=Worker.*");
  options.grace_s = 20;
  return Launch(options);
}

#define SKIP_WITHOUT_GLOO() \
  if (!ProcessGroup::Supported(at::kCPU)) GTEST_SKIP() << "this build has no Gloo (libgloo-dev)"

TEST(Processes, TwoAreOneWithTwiceTheBatches) {
  SKIP_WITHOUT_GLOO();
  // One batch each: the sum of two is the same either way round, so the bits are.
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_processes_two");
  Status status = RunCopies(2, folder);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_TRUE(MasterOf(folder).equal(Alone(2)));
  // Two each: the order of four terms differs.
  FreshFolder(folder);
  status = RunCopies(2, folder, {"HEARTH_TEST_BATCHES=4"});
  ASSERT_TRUE(status) << status.error().message;
  const Tensor alone = Alone(4);
  EXPECT_LT((MasterOf(folder) - alone).abs().max().item<double>(), 1e-4);
}

TEST(Processes, OneThatIsToldToStopStopsAllInTheSameStepAndTheyResume) {
  SKIP_WITHOUT_GLOO();
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_processes_stop");
  Status status = RunCopies(2, folder, {"HEARTH_TEST_BATCHES=2", "HEARTH_TEST_STOP=3"});
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_THAT(NewestCheckpoint(folder).value(), HasSubstr("step-00000003"));
  status = RunCopies(2, folder);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_TRUE(MasterOf(folder).equal(Alone(2)));
}

// Not even a last word: what a machine that lost power leaves behind.
TEST(Processes, AKilledRunGoesOnFromItsLastCheckpoint) {
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_processes_kill");
  Status status = RunCopies(1, folder, {"HEARTH_TEST_BATCHES=2", "HEARTH_TEST_KILL=4"});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("signal 9"));
  EXPECT_THAT(NewestCheckpoint(folder).value(), HasSubstr("step-00000002"));
  status = RunCopies(1, folder);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_TRUE(MasterOf(folder).equal(Alone(2)));
}

TEST(Processes, OneWithOtherOptionsIsNoticed) {
  SKIP_WITHOUT_GLOO();
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_processes_other");
  const Status status = RunCopies(2, folder, {"HEARTH_TEST_BATCHES=2", "HEARTH_TEST_OTHER=1"});
  EXPECT_FALSE(status);
}

// As under torchrun, whose agent hosts the store that all processes are clients of.
TEST(Processes, AnAgentsStoreServesThem) {
  SKIP_WITHOUT_GLOO();
  c10d::TCPStoreOptions store_options;
  store_options.port = 0;
  store_options.isServer = true;
  store_options.waitWorkers = false;
  c10d::TCPStore store("127.0.0.1", store_options);
  const std::string folder = FreshFolder(testing::TempDir() + "hearth_processes_agent");
  const Status status = RunCopies(2, folder,
                                  {"HEARTH_TEST_BATCHES=2", "TORCHELASTIC_USE_AGENT_STORE=True",
                                   "MASTER_PORT=" + std::to_string(store.getPort())});
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_TRUE(MasterOf(folder).equal(Alone(2)));
}

TEST(ProcessEnvironment, WhatIsMissingOrWrongIsNamed) {
  unsetenv("WORLD_SIZE");
  EXPECT_EQ(ReadProcessEnvironment()->world_size, 1);
  setenv("WORLD_SIZE", "2", 1);
  unsetenv("RANK");
  EXPECT_THAT(ReadProcessEnvironment().error().message, HasSubstr("RANK is ''"));
  setenv("RANK", "2", 1);
  EXPECT_THAT(ReadProcessEnvironment().error().message, HasSubstr("RANK is '2'"));
  setenv("RANK", "1", 1);
  setenv("LOCAL_RANK", "1", 1);
  setenv("MASTER_PORT", "70000", 1);
  EXPECT_THAT(ReadProcessEnvironment().error().message, HasSubstr("MASTER_PORT is '70000'"));
  setenv("MASTER_PORT", "7000", 1);
  setenv("MASTER_ADDR", "10.0.0.1", 1);
  setenv("TORCHELASTIC_USE_AGENT_STORE", "True", 1);
  const auto environment = ReadProcessEnvironment();
  ASSERT_TRUE(environment);
  EXPECT_EQ(environment->rank, 1);
  EXPECT_EQ(environment->local_rank, 1);
  EXPECT_EQ(environment->master_address, "10.0.0.1");
  EXPECT_TRUE(environment->agent_hosts_store);
  for (const char* name : {"WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT", "MASTER_ADDR",
                           "TORCHELASTIC_USE_AGENT_STORE"})
    unsetenv(name);
}

}  // namespace
}  // namespace hearth::forge
