#pragma once
// What a table of figures says of the machine it was measured on.

#include <string>
#include <string_view>

namespace hearth {

struct MachineDescription {
  std::string processor;     // e.g. "Intel(R) Xeon(R) Processor"
  std::string instructions;  // those that matter here, e.g. "avx2 avx512_vnni"; may be empty
  int cores = 0;             // that this process may use
  std::string system;        // e.g. "Debian GNU/Linux 12 (bookworm)"
};

// Fields that the system does not tell are "unknown".
MachineDescription DescribeMachine();

// From the text of /proc/cpuinfo: processor and instructions.
MachineDescription ParseCpuInfo(std::string_view text);

}  // namespace hearth
