#include "comparison/machine.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

namespace hearth {
namespace {

// Of one processor's line "flags" (x86) or "Features" (ARM), in this order.
constexpr std::string_view kInstructions[] = {"avx2",     "avx_vnni", "avx512f", "avx512_vnni",
                                              "amx_int8", "asimddp",  "i8mm"};

std::string ReadAll(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The value of the first line "key : value" or key="value".
std::string ValueOf(std::string_view text, std::string_view key, char separator) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(key)) continue;
    line.remove_prefix(key.size());
    const size_t start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos || line[start] != separator) continue;
    line.remove_prefix(start + 1);
    const size_t first = line.find_first_not_of(" \t\"");
    const size_t last = line.find_last_not_of(" \t\"\r");
    if (first == std::string_view::npos) return {};
    return std::string(line.substr(first, last - first + 1));
  }
  return {};
}

}  // namespace

MachineDescription ParseCpuInfo(std::string_view text) {
  MachineDescription machine;
  machine.processor = ValueOf(text, "model name", ':');
  if (machine.processor.empty()) machine.processor = "unknown";
  std::string flags = ValueOf(text, "flags", ':');
  if (flags.empty()) flags = ValueOf(text, "Features", ':');
  std::istringstream words(flags);
  const std::vector<std::string> known{std::istream_iterator<std::string>(words), {}};
  for (const std::string_view name : kInstructions) {
    if (std::find(known.begin(), known.end(), name) == known.end()) continue;
    if (!machine.instructions.empty()) machine.instructions += ' ';
    machine.instructions += name;
  }
  return machine;
}

MachineDescription DescribeMachine() {
  MachineDescription machine = ParseCpuInfo(ReadAll("/proc/cpuinfo"));
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) machine.cores = CPU_COUNT(&cores);
  machine.system = ValueOf(ReadAll("/etc/os-release"), "PRETTY_NAME", '=');
  if (machine.system.empty()) machine.system = "unknown";
  return machine;
}

}  // namespace hearth
