// Any bytes as a file of rows: an error or conversations, never a crash, and what is read comes
// back the same when it is written and read again.

#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/check.h"
#include "training/data/rows.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hearth::forge;
  static const std::string path =
      std::filesystem::temp_directory_path() / ("rows_fuzz_" + std::to_string(getpid()));
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) std::abort();
  std::fwrite(data, 1, size, file);
  std::fclose(file);
  constexpr size_t kMaxRowBytes = 2000;
  auto reader = RowReader::Open({path}, kMaxRowBytes);
  if (!reader) return 0;
  while (reader->can_continue()) {
    const auto row = reader->Next();
    if (!row) continue;
    if (!*row) break;
    HEARTH_CHECK(!(*row)->messages.empty());
    const auto again = ParseRow(ToJsonLine(**row));
    HEARTH_CHECK(again && again->size() == 1 && again->front().messages == (*row)->messages);
  }
  return 0;
}
