#include "training/recipe/keys.h"

#include <gtest/gtest.h>

#include "training/recipe/explain.h"
#include "training/recipe/nearest_name.h"
#include "training/recipe/testing_kinds.h"

namespace hearth::forge {
namespace {

Result<Parameters> Read(std::string_view yaml) {
  const auto root = ReadYaml(yaml);
  if (!root) return tl::unexpected(root.error());
  return ReadParameters(*root, testing::CountKind().declaration().keys, {"name"}, "a count stage");
}

std::string ErrorOf(std::string_view yaml) {
  const auto parameters = Read(yaml);
  return parameters ? "no error" : parameters.error().message;
}

TEST(Keys, AreReadAsTheirTypes) {
  const auto parameters = Read(
      "name: x\nsteps: 12\nlearning_rate: 1e-1\nlr_scheduler: linear\nbf16: false\n"
      "lora_target_modules: [q_proj, v_proj]\ndatasets:\n  - {path: a.jsonl, type: alpaca}\n  - "
      "b.jsonl\n");
  ASSERT_TRUE(parameters) << parameters.error().message;
  EXPECT_EQ(parameters->Int("steps"), 12);
  EXPECT_DOUBLE_EQ(parameters->Float("learning_rate"), 0.1);
  EXPECT_EQ(parameters->String("lr_scheduler"), "linear");
  EXPECT_FALSE(parameters->Bool("bf16"));
  EXPECT_EQ(parameters->Strings("lora_target_modules"),
            (std::vector<std::string>{"q_proj", "v_proj"}));
  EXPECT_EQ(parameters->Datasets("datasets"),
            (std::vector<DatasetEntry>{{"a.jsonl", "alpaca"}, {"b.jsonl", "auto"}}));
  EXPECT_EQ(parameters->Int("stride"), 1) << "the default";
  EXPECT_FALSE(parameters->Has("text")) << "no default";
  EXPECT_EQ(parameters->LineOf("bf16"), 5);
}

TEST(Keys, AnUnknownOneIsAnErrorThatNamesTheNearest) {
  EXPECT_EQ(ErrorOf("name: x\nlerning_rate: 1\n"),
            "line 2: unknown key lerning_rate of a count stage; the nearest is learning_rate");
  EXPECT_EQ(ErrorOf("scheduler: 1\n"),
            "line 1: unknown key scheduler of a count stage; the nearest is lr_scheduler");
  EXPECT_EQ(ErrorOf("zzz: 1\n"), "line 1: unknown key zzz of a count stage");
  EXPECT_EQ(ErrorOf("datasets:\n  - {path: a, typ: alpaca}\n"),
            "line 2: unknown key typ of an entry of datasets; the nearest is type");
}

TEST(Keys, AWrongValueIsAnErrorThatNamesKeyLineAndValue) {
  EXPECT_EQ(ErrorOf("steps: many\n"), "line 1: steps must be a whole number, 1 to 1000, is many");
  EXPECT_EQ(ErrorOf("steps: 1.5\n"), "line 1: steps must be a whole number, 1 to 1000, is 1.5");
  EXPECT_EQ(ErrorOf("\nsteps: 5000\n"), "line 2: steps must be a whole number, 1 to 1000, is 5000");
  EXPECT_EQ(ErrorOf("steps: \"5\"\n"), "line 1: steps must be a whole number, 1 to 1000, is \"5\"");
  EXPECT_EQ(ErrorOf("steps: 99999999999999999999\n"),
            "line 1: steps must be a whole number, 1 to 1000, is 99999999999999999999");
  EXPECT_EQ(ErrorOf("learning_rate: nan\n"),
            "line 1: learning_rate must be a number, 0 to 1, is nan");
  EXPECT_EQ(ErrorOf("learning_rate: -0.1\n"),
            "line 1: learning_rate must be a number, 0 to 1, is -0.1");
  EXPECT_EQ(ErrorOf("bf16: yes\n"), "line 1: bf16 must be true or false, is yes");
  EXPECT_EQ(ErrorOf("lr_scheduler: cosin\n"),
            "line 1: lr_scheduler must be one of cosine, linear, is cosin; the nearest is cosine");
  EXPECT_EQ(ErrorOf("lora_target_modules: {a: b}\n"),
            "line 1: lora_target_modules must be a word or a list of words, is a mapping");
  EXPECT_EQ(ErrorOf("datasets: []\n"),
            "line 1: datasets must be a list of {path: INPUT, type: TYPE}, is a list");
}

// What artifacts are named by: equal values are equal however they are written.
TEST(Keys, CanonicalParametersTellValuesNotSpelling) {
  const auto keys = testing::CountKind().declaration().keys;
  const auto canonical = [&](std::string_view yaml) {
    return CanonicalParameters(*Read(yaml), keys);
  };
  EXPECT_EQ(canonical("steps: 4\nlearning_rate: 0.50\n"), canonical("bf16: true\n"));
  EXPECT_EQ(canonical("learning_rate: 1\n"), canonical("learning_rate: 1.0\n"));
  EXPECT_EQ(canonical("text: a.txt\n"), canonical("text: b.txt\n")) << "their contents tell";
  EXPECT_NE(canonical("learning_rate: 0.25\n"), canonical("learning_rate: 0.250001\n"));
  EXPECT_NE(canonical("datasets: [{path: a, type: alpaca}]\n"),
            canonical("datasets: [{path: a}]\n"));
}

TEST(NearestName, IsNearOrNone) {
  const std::vector<std::string> names = {"sequence_len", "lora_r", "lora_alpha"};
  EXPECT_EQ(NearestName("sequnce_len", names), "sequence_len");
  EXPECT_EQ(NearestName("sequence_length", names), "sequence_len");
  EXPECT_EQ(NearestName("loar_r", names), "lora_r");
  EXPECT_EQ(NearestName("alpha", names), "lora_alpha");
  EXPECT_EQ(NearestName("optimizer", names), "");
  EXPECT_EQ(EditDistance("abcd", "acbd"), 1);
  EXPECT_EQ(EditDistance("", "abc"), 3);
}

TEST(Explain, SaysEveryKeyAndOutput) {
  const StageDeclaration kind = testing::CountKind().declaration();
  const std::string text = ExplainKind(kind);
  for (const KeySpec& key : kind.keys)
    EXPECT_NE(text.find("  " + key.name + ": " + DescribeType(key)), std::string::npos) << key.name;
  EXPECT_NE(text.find("learning_rate: a number, 0 to 1; default 0.5"), std::string::npos) << text;
  const testing::JoinKind join;
  EXPECT_NE(KindsAsMarkdown({&join.declaration()})
                .find("| `num_threads` | a whole number, 1 to 64 | `1` | Threads "
                      "(changes no result) |"),
            std::string::npos);
}

}  // namespace
}  // namespace hearth::forge
