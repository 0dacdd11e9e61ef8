// Any bytes as a recipe: an error with words, or a recipe whose stages stand behind what they read
// from; never a crash, and never much time or memory.

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "training/recipe/recipe.h"
#include "training/recipe/testing_kinds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hearth::forge;
  static const testing::JoinKind join;
  static const testing::CountKind count;
  RecipeOptions options;
  options.variable = [](std::string_view name) -> std::optional<std::string> {
    if (name == "HOME") return "/home";
    return std::nullopt;
  };
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // The first line may be an override.
  if (text.starts_with("#set ")) {
    const size_t end = std::min(text.find('\n'), text.size());
    options.overrides.emplace_back(text.substr(5, end - 5));
  }
  const auto recipe = ParseRecipe(text, {&join, &count}, options);
  if (!recipe) {
    HEARTH_CHECK(!recipe.error().message.empty());
    return 0;
  }
  for (size_t place = 0; place < recipe->stages.size(); ++place) {
    for (const RecipeInput& input : recipe->stages[place].inputs) {
      HEARTH_CHECK(input.stage < static_cast<int>(place));
      HEARTH_CHECK((input.stage >= 0) != (input.file >= 0));
      HEARTH_CHECK(input.file < static_cast<int>(recipe->files.size()));
    }
    static_cast<void>(CanonicalParameters(recipe->stages[place].parameters,
                                          recipe->stages[place].declaration().keys));
  }
  return 0;
}
