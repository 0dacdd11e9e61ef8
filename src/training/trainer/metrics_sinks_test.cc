#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "training/trainer/jsonl_sink.h"
#include "training/trainer/tensorboard_sink.h"

namespace hearth::forge {
namespace {

using testing::HasSubstr;

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string FreshFolder(const std::string& name) {
  const std::string folder = testing::TempDir() + "hearth_metrics_" + name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

void AddSome(MetricsSink& sink) {
  sink.AddScalar("train/loss", 1, 2.5);
  sink.AddScalar("train/\"lr\"", 1, 3e-4);
  sink.AddScalar("train/loss", 300, std::numeric_limits<double>::quiet_NaN());
  sink.AddScalar("eval/loss", 300, 0.125);
  sink.Flush();
}

TEST(JsonlSink, OneLineAStepAndAResumedRunAppends) {
  const std::string path = FreshFolder("jsonl") + "/metrics.jsonl";
  for (int run = 0; run < 2; ++run) {
    auto sink = JsonlSink::Open(path);
    ASSERT_TRUE(sink);
    AddSome(**sink);
    EXPECT_TRUE((*sink)->ok());
  }
  const std::string lines =
      "{\"step\":1,\"train/loss\":2.5,\"train/\\\"lr\\\"\":0.0003}\n"
      "{\"step\":300,\"train/loss\":null,\"eval/loss\":0.125}\n";
  EXPECT_EQ(Contents(path), lines + lines);
}

TEST(JsonlSink, AFolderThatIsNotThereIsNamed) {
  EXPECT_THAT(JsonlSink::Open("/absent/metrics.jsonl").error().message,
              HasSubstr("/absent/metrics.jsonl"));
}

TEST(TensorboardSink, Crc32cIsTheStandards) {
  // RFC 3720, B.4.
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
}

// What tensorboard's own writer made of the same figures, see tests/golden/tensorboard.
TEST(TensorboardSink, WritesWhatTensorboardItselfWrites) {
  double now = 1'700'000'000.25;
  auto sink = TensorboardSink::Open(FreshFolder("tensorboard"), [&] { return now += 0.5; });
  ASSERT_TRUE(sink);
  AddSome(**sink);
  EXPECT_TRUE((*sink)->ok());
  EXPECT_THAT((*sink)->path(), HasSubstr("tfevents"));
  EXPECT_EQ(Contents((*sink)->path()), Contents("tests/golden/tensorboard/events.out.tfevents.0"));
}

}  // namespace
}  // namespace hearth::forge
