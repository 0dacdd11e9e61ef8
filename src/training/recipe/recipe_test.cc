#include "training/recipe/recipe.h"

#include <gtest/gtest.h>

#include "training/recipe/testing_kinds.h"

namespace hearth::forge {
namespace {

class RecipeTest : public ::testing::Test {
 protected:
  Result<Recipe> Parse(std::string_view yaml, std::vector<std::string> overrides = {}) {
    RecipeOptions options;
    options.folder = "/recipes";
    options.variable = [](std::string_view name) -> std::optional<std::string> {
      if (name == "HEARTH_DATA") return "/data";
      return std::nullopt;
    };
    options.overrides = std::move(overrides);
    return ParseRecipe(yaml, {&join_, &count_}, options);
  }
  std::string ErrorOf(std::string_view yaml, std::vector<std::string> overrides = {}) {
    const auto recipe = Parse(yaml, std::move(overrides));
    return recipe ? "no error" : recipe.error().message;
  }

  testing::JoinKind join_;
  testing::CountKind count_;
};

TEST_F(RecipeTest, StagesComeBehindWhatTheyReadFrom) {
  const auto recipe = Parse(R"(
name: both
seed: 7
files:
  greeting: {path: "${HEARTH_DATA}/hello.txt", licence: MIT}
stages:
  - {name: counted, kind: count, text: joined}
  - {name: joined, kind: join, texts: [greeting, ../world.txt, greeting]}
targets:
  - {figure: counted.loss, at_most: 2}
)");
  ASSERT_TRUE(recipe) << recipe.error().message;
  ASSERT_EQ(recipe->stages.size(), 2u);
  EXPECT_EQ(recipe->stages[0].name, "joined");
  EXPECT_EQ(recipe->stages[1].name, "counted");
  EXPECT_EQ(recipe->stages[1].inputs[0].stage, 0);
  EXPECT_EQ(recipe->stages[1].inputs[0].output, "text");
  EXPECT_EQ(recipe->stages[1].parameters.Int("seed"), 7) << "the recipe's";
  ASSERT_EQ(recipe->files.size(), 2u);
  EXPECT_EQ(recipe->files[0].path, "/data/hello.txt");
  EXPECT_EQ(recipe->files[0].licence, "MIT");
  EXPECT_EQ(recipe->files[1].path, "/world.txt");
  EXPECT_EQ(recipe->targets[0].at_most, 2);
}

TEST_F(RecipeTest, ErrorsNameTheLineAndTheNearestName) {
  EXPECT_EQ(ErrorOf("stages:\n  - {name: a, kind: cuont}\n"),
            "line 2: unknown kind cuont; the nearest is count (there are join, count)");
  EXPECT_EQ(
      ErrorOf("stages:\n  - {name: a, kind: join, texts: gretting}\nfiles: {greeting: ./x}\n"),
      "line 2: texts: there is no stage and no file called gretting; the nearest is greeting (a "
      "path has a dot or a slash: ./gretting)");
  EXPECT_EQ(
      ErrorOf("stages:\n  - {name: a, kind: count}\n  - {name: b, kind: join, texts: a.modl}\n"),
      "line 3: texts: the stage a has no output modl; the nearest is model");
  EXPECT_EQ(
      ErrorOf("stages:\n  - {name: a, kind: count}\n  - {name: b, kind: join, texts: a.model}\n"),
      "line 3: texts must be a list of inputs (rows); a.model is model");
  EXPECT_EQ(ErrorOf("stages:\n  - {name: a, kind: count}\n  - {name: a, kind: count}\n"),
            "line 3: two stages are called a; the other is in line 2");
  EXPECT_EQ(ErrorOf("stags: []\n"), "line 1: unknown key stags of a recipe; the nearest is stages");
  EXPECT_EQ(ErrorOf("name: x\n"),
            "line 1: a recipe needs stages: a list of {name: ..., kind: ..., ...}");
  EXPECT_EQ(ErrorOf("stages:\n  - {name: a, kind: join}\n"),
            "line 2: a stage of kind join needs the key texts: a list of inputs (rows)");
  EXPECT_EQ(ErrorOf("stages:\n  - {name: a, kind: count, steps: 3, stride: 2}\n"),
            "line 2: stage a: steps must be a multiple of stride");
  EXPECT_EQ(ErrorOf("stages:\n  - {name: a, kind: join, texts: \"${SECRET}/x\"}\n"),
            "line 2: ${SECRET} is not set; a path may use HEARTH_DATA, HEARTH_MODELS and HOME");
  EXPECT_EQ(
      ErrorOf("stages:\n  - {name: a, kind: count}\ntargets: [{figure: b.loss, at_least: 1}]\n"),
      "line 3: figure must be STAGE.NAME of a stage here, is b.loss");
  EXPECT_EQ(ErrorOf("stages:\n  - {name: a/../b, kind: count}\n"),
            "line 2: the name of a stage must be letters, digits, _ and -, at most 60, is a/../b");
  EXPECT_EQ(ErrorOf("name: ../x\nstages: []\n"),
            "line 1: name must be letters, digits, _, - and ., at most 60, is ../x");
  EXPECT_EQ(ErrorOf("- a\n"), "line 1: a recipe is a mapping with the key stages, this is a list");
  EXPECT_EQ(ErrorOf(""), "line 1: a recipe is a mapping with the key stages, this is empty");
}

TEST_F(RecipeTest, ACircleIsAnErrorThatNamesIt) {
  EXPECT_EQ(ErrorOf("stages:\n"
                    "  - {name: z, kind: join, texts: b}\n"
                    "  - {name: a, kind: join, texts: b}\n"
                    "  - {name: b, kind: join, texts: [c, ./x]}\n"
                    "  - {name: c, kind: join, texts: [./y, a]}\n"),
            "line 4: stages read from each other in a circle: b reads from c, which reads from a, "
            "which reads from b");
}

TEST_F(RecipeTest, OverridesStandForKeysOfTheFile) {
  const char* yaml = "stages:\n  - {name: a, kind: count, steps: 3}\n";
  const auto recipe = Parse(yaml, {"a.steps=5", "a.bf16=false", "seed=9"});
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_EQ(recipe->stages[0].parameters.Int("steps"), 5);
  EXPECT_FALSE(recipe->stages[0].parameters.Bool("bf16"));
  EXPECT_EQ(recipe->stages[0].parameters.Int("seed"), 9);
  EXPECT_EQ(ErrorOf(yaml, {"b.steps=5"}), "--set b.steps=5: there is no stage b");
  EXPECT_EQ(ErrorOf(yaml, {"a.step=5"}),
            "line 2: unknown key step of a stage of kind count; the nearest is steps");
}

}  // namespace
}  // namespace hearth::forge
