#include "comparison/llama_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::ElementsAre;

TEST(LlamaBench, CommandLineNamesEverySetting) {
  PeerCommand command;
  command.model = "m.gguf";
  command.threads = 2;
  command.repetitions = 3;
  command.setting = {false, true};
  command.prompts = {6, 128};
  command.num_generated = 32;
  EXPECT_THAT(LlamaBenchArguments(command),
              ElementsAre("-m", "m.gguf", "-t", "2", "-r", "3", "-o", "jsonl", "-fa", "1", "-p",
                          "6,128", "-n", "32", "--repack", "0"));
}

TEST(LlamaBench, LongContextHasDepthsAndKvType) {
  PeerCommand command;
  command.model = "m.gguf";
  command.knows_repack = false;
  command.kv_type = "q8_0";
  command.num_generated = 32;
  command.depths = {2016, 8160};
  EXPECT_THAT(LlamaBenchArguments(command),
              ElementsAre("-m", "m.gguf", "-t", "1", "-r", "1", "-o", "jsonl", "-fa", "1", "-p",
                          "0", "-n", "32", "-ctk", "q8_0", "-ctv", "q8_0", "-d", "2016,8160"));
}

TEST(LlamaBench, ReadsTheMedianOfTheRepetitions) {
  const PeerRun run = ParseLlamaBench(
      R"({"build_commit":"abc","n_prompt":128,"n_gen":0,"n_depth":0,"avg_ts":50,"samples_ts":[10,40,100]})"
      "\n"
      R"({"build_commit":"abc","n_prompt":0,"n_gen":32,"n_depth":8160,"avg_ts":7.5})"
      "\n");
  EXPECT_EQ(run.build, "abc");
  ASSERT_EQ(run.tokens_per_second.size(), 2u);
  EXPECT_EQ(run.tokens_per_second.at({128, 0, 0}), 40);
  EXPECT_EQ(run.tokens_per_second.at({0, 32, 8160}), 7.5);
}

TEST(LlamaBench, PassesOverWhatIsNoFigure) {
  const PeerRun run = ParseLlamaBench(
      "warning: something\n\n[1,2]\nnull\n"
      R"({"n_prompt":"six","samples_ts":["x",null],"avg_ts":{}})"
      "\n"
      R"({"n_prompt":6,"avg_ts":30})"
      "\n"
      R"({"n_prompt":128,"avg_ts":)");
  EXPECT_EQ(run.tokens_per_second, (std::map<PeerTest, double>{{{6, 0, 0}, 30}}));
  EXPECT_TRUE(ParseLlamaBench("").tokens_per_second.empty());
}

TEST(LlamaBench, SettingsAndKvTypesHaveNames) {
  EXPECT_EQ(PeerSetting({true, false}).Name(true), "repack 1, flash attention off");
  EXPECT_EQ(PeerSetting({true, true}).Name(false), "flash attention on");
  EXPECT_EQ(PeerKvType("f16"), "f16");
  EXPECT_EQ(PeerKvType("int8"), "q8_0");
  EXPECT_EQ(PeerKvType("other"), "");
}

}  // namespace
}  // namespace hearth
