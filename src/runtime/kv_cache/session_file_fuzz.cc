// Any bytes are an error or a head whose every field can be used.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "runtime/kv_cache/session_file.h"

namespace {

// Where the header says how much follows.
uint64_t ClaimedDataBytes(const std::vector<std::byte>& bytes) {
  uint32_t num_blocks;
  uint64_t block_bytes;
  std::memcpy(&num_blocks, bytes.data() + 12, sizeof num_blocks);
  std::memcpy(&block_bytes, bytes.data() + 16, sizeof block_bytes);
  return num_blocks * block_bytes;
}

void Parse(const std::vector<std::byte>& bytes, uint64_t file_bytes) {
  const auto head_bytes = hearth::KvSessionHeadBytes(bytes, file_bytes);
  if (!head_bytes) {
    HEARTH_CHECK(!head_bytes.error().message.empty());
    return;
  }
  if (*head_bytes > 1 << 20) return;  // such a file is at least as large
  std::vector<std::byte> head = bytes;
  head.resize(*head_bytes);
  // Unsealed it can hardly pass; sealed everything behind the checksum is reached.
  for (const bool sealed : {false, true}) {
    if (sealed) hearth::SealKvSessionHead(head);
    const auto parsed = hearth::ParseKvSessionHead(head);
    if (!parsed) {
      HEARTH_CHECK(!parsed.error().message.empty());
      continue;
    }
    HEARTH_CHECK(parsed->key.shape.bytes_per_block() > 0);
    for (size_t i = 0; i < parsed->blocks.size(); ++i) {
      const int parent = parsed->blocks[i].parent;
      HEARTH_CHECK(parent >= -1 && parent < static_cast<int>(i));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  Parse(bytes, size);
  if (size >= hearth::kKvSessionHeaderBytes) {
    // as if the file were as long as it says
    uint32_t num_blocks;
    std::memcpy(&num_blocks, bytes.data() + 12, sizeof num_blocks);
    const uint64_t head_bytes = hearth::kKvSessionHeaderBytes + uint64_t{num_blocks} * 272;
    Parse(bytes, head_bytes + ClaimedDataBytes(bytes));
  }
  return 0;
}
