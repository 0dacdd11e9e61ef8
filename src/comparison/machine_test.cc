#include "comparison/machine.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(Machine, ReadsProcessorAndInstructions) {
  const MachineDescription machine = ParseCpuInfo(
      "processor\t: 0\nmodel name\t: Some(R) Processor @ 2 GHz\n"
      "flags\t\t: fpu avx2 avx512f avx512_vnni amx_int8\n\nprocessor\t: 1\nmodel name\t: other\n");
  EXPECT_EQ(machine.processor, "Some(R) Processor @ 2 GHz");
  EXPECT_EQ(machine.instructions, "avx2 avx512f avx512_vnni amx_int8");
}

TEST(Machine, ReadsArmFeatures) {
  const MachineDescription machine = ParseCpuInfo("processor: 0\nFeatures\t: fp asimd asimddp\n");
  EXPECT_EQ(machine.processor, "unknown");
  EXPECT_EQ(machine.instructions, "asimddp");
}

TEST(Machine, NothingKnownIsSaid) {
  EXPECT_EQ(ParseCpuInfo("").processor, "unknown");
  EXPECT_EQ(ParseCpuInfo("model name\t:\nmodel name").processor, "unknown");
  EXPECT_GE(DescribeMachine().cores, 1);
}

}  // namespace
}  // namespace hearth
