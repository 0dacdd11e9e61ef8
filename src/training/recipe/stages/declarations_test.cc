#include "training/recipe/stages/declarations.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "training/recipe/explain.h"
#include "training/recipe/recipe.h"
#include "training/recipe/testing_kinds.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using testing::ReadText;

// A kind that is read about but not run.
class DeclaredOnly final : public StageKind {
 public:
  explicit DeclaredOnly(const StageDeclaration& declaration) : declaration_(declaration) {}
  const StageDeclaration& declaration() const override { return declaration_; }
  Result<StageResult> Run(const StageContext&) const override { return StageResult{}; }

 private:
  const StageDeclaration& declaration_;
};

// What docs/recipes.md says of kinds is made from their declarations:
//   hearth-forge run --explain all --markdown
TEST(Stages, ThePageAboutRecipesIsCurrent) {
  const std::string page = ReadText("docs/recipes.md");
  const std::string begin = "<!-- made by: hearth-forge run --explain all --markdown -->\n\n";
  const size_t place = page.find(begin);
  ASSERT_NE(place, std::string::npos) << "docs/recipes.md has lost its mark";
  const std::string expected = KindsAsMarkdown(AllDeclarations());
  EXPECT_TRUE(page.substr(place + begin.size()) == expected)
      << "put what `hearth-forge run --explain all --markdown` prints behind the mark in "
         "docs/recipes.md";
}

// Every recipe of the project names kinds, keys and outputs that there are.
TEST(Stages, TheProjectsRecipesAreRead) {
  setenv("HEARTH_DATA", "/data", 1);
  setenv("HEARTH_MODELS", "/models", 1);
  std::vector<DeclaredOnly> declared;
  for (const StageDeclaration* declaration : AllDeclarations()) declared.emplace_back(*declaration);
  StageKinds kinds;
  for (const DeclaredOnly& kind : declared) kinds.push_back(&kind);
  int num_recipes = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator("recipes")) {
    const auto recipe = LoadRecipe(entry.path(), kinds, {});
    EXPECT_TRUE(recipe) << recipe.error().message;
    ++num_recipes;
  }
  EXPECT_GE(num_recipes, 6);
}

TEST(Stages, DeclarationsMakeSense) {
  std::set<std::string> names;
  for (const StageDeclaration* kind : AllDeclarations()) {
    const StageDeclaration& declaration = *kind;
    EXPECT_TRUE(names.insert(declaration.name).second) << declaration.name << " twice";
    ASSERT_FALSE(declaration.outputs.empty()) << declaration.name;
    std::set<std::string> keys = {"name", "kind", "output_dir"}, files;
    for (const KeySpec& key : declaration.keys) {
      EXPECT_TRUE(keys.insert(key.name).second) << declaration.name << "." << key.name << " twice";
      EXPECT_FALSE(key.help.empty() || key.help.ends_with('.'))
          << declaration.name << "." << key.name;
      EXPECT_FALSE(key.required && key.by_default) << declaration.name << "." << key.name;
      if (const auto* value = key.by_default ? std::get_if<int64_t>(&*key.by_default) : nullptr) {
        EXPECT_TRUE(!key.low || (*key.low <= static_cast<double>(*value) &&
                                 static_cast<double>(*value) <= *key.high))
            << declaration.name << "." << key.name;
      }
    }
    for (const OutputSpec& output : declaration.outputs)
      EXPECT_TRUE(files.insert(output.file).second)
          << declaration.name << " writes " << output.file;
  }
}

}  // namespace
}  // namespace hearth::forge
