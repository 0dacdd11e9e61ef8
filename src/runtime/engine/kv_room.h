#pragma once
// How much the KV cache holds: the budget in bytes, shared out between the model and whoever drafts
// for it, which keep the same tokens block by block.

#include <cstdint>

#include "base/result.h"
#include "runtime/engine/engine.h"

namespace hearth {

struct KvBlockBytes {
  int64_t block = 0;  // of the model
  int64_t open = 0;   // what one that is being filled takes besides
  int64_t draft = 0;  // of those that draft for it
};
// Of a model without a draft.
KvBlockBytes BlockBytesOf(const ModelDescription& model);

struct KvRoom {
  int num_blocks = 0;
  int64_t bytes = 0;  // of all blocks, full and open, those of the draft included
};

// Without a budget: four contexts, at most a quarter of the machine's memory, and one in any case.
// Errors: kResourceExhausted when a budget does not hold one context (says how much that needs).
Result<KvRoom> KvRoomFor(const EngineOptions& options, const KvBlockBytes& bytes,
                         int context_length);

}  // namespace hearth
