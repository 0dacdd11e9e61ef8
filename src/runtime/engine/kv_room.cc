#include "runtime/engine/kv_room.h"

#include <unistd.h>

#include <algorithm>
#include <string>

#include "runtime/kernels/kernels.h"

namespace hearth {
namespace {

constexpr int kDefaultContexts = 4;  // of room, where memory allows

int64_t MachineMemoryBytes() {
  return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE);
}

}  // namespace

KvBlockBytes BlockBytesOf(const ModelDescription& model) {
  return {model.kv_bytes_per_token * kKvBlockTokens, model.kv_bytes_per_open_block, 0};
}

Result<KvRoom> KvRoomFor(const EngineOptions& options, const KvBlockBytes& bytes,
                         int context_length) {
  // Each running sequence fills one block and may take back a part of the one before; a pass of
  // prompt tokens fills several.
  const int64_t open_bytes =
      (2 * options.max_sequences + options.max_batch_tokens / kKvBlockTokens + 1) * bytes.open;
  const int64_t block_bytes = bytes.block + bytes.draft;
  const int64_t context_bytes =
      (context_length + kKvBlockTokens - 1) / kKvBlockTokens * block_bytes;
  int64_t budget = options.kv_budget_bytes;
  if (budget == 0) {
    budget = std::max(std::min(kDefaultContexts * context_bytes, MachineMemoryBytes() / 4),
                      context_bytes);
  } else {
    budget -= open_bytes;
  }
  if (budget < context_bytes) {
    const bool drafts = bytes.draft > 0;
    return MakeError(
        ErrorCode::kResourceExhausted,
        "a context of " + std::to_string(context_length) + " tokens needs " +
            std::to_string(context_bytes + open_bytes) + " bytes of KV cache" +
            (drafts ? " (" + std::to_string(context_bytes / block_bytes * bytes.draft) +
                          " of them for the draft)"
                    : "") +
            ", the budget is " + std::to_string(options.kv_budget_bytes) +
            ": ask for a shorter context" + (drafts ? ", no draft" : "") + " or a larger budget");
  }
  const int64_t num_blocks = std::min<int64_t>(budget / block_bytes, 1 << 24);
  return KvRoom{static_cast<int>(num_blocks), num_blocks * block_bytes + open_bytes};
}

}  // namespace hearth
