#include "training/recipe/stages/all_kinds.h"

#include <gtest/gtest.h>

#include "training/recipe/stages/declarations.h"

namespace hearth::forge {
namespace {

// Documentation and recipes are checked against the declarations alone; the kinds must be those.
TEST(Stages, KindsAreAsDeclaredAndInThatOrder) {
  const StageKinds kinds = AllStageKinds();
  const auto declarations = AllDeclarations();
  ASSERT_EQ(kinds.size(), declarations.size());
  for (size_t i = 0; i < kinds.size(); ++i) EXPECT_EQ(&kinds[i]->declaration(), declarations[i]);
}

}  // namespace
}  // namespace hearth::forge
