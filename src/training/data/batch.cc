#include "training/data/batch.h"

#include <cmath>
#include <string>

namespace hearth::forge {
namespace {

Status Wrong(const std::string& what) {
  return MakeError(ErrorCode::kInvalidArgument, "batch: " + what);
}

Status CheckIds(const std::vector<int32_t>& ids, int64_t vocab_size, const char* name) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size)
      return Wrong(std::string(name) + " holds " + std::to_string(id) + ", the vocabulary has " +
                   std::to_string(vocab_size) + " tokens");
  }
  return {};
}

}  // namespace

Status CheckBatch(const Batch& batch, int64_t vocab_size) {
  const size_t size = batch.tokens.size();
  if (size == 0) return Wrong("it holds no token");
  if (batch.targets.size() != size || batch.weights.size() != size ||
      (!batch.adapter_mask.empty() && batch.adapter_mask.size() != size)) {
    return Wrong(std::to_string(size) + " tokens, " + std::to_string(batch.targets.size()) +
                 " targets, " + std::to_string(batch.weights.size()) + " weights, " +
                 std::to_string(batch.adapter_mask.size()) + " mask entries");
  }
  int64_t total = 0;
  for (const int32_t length : batch.segment_lengths) {
    if (length < 1) return Wrong("a segment of " + std::to_string(length) + " tokens");
    total += length;
  }
  if (total != batch.num_tokens())
    return Wrong("segments of " + std::to_string(total) + " tokens together, not " +
                 std::to_string(size));
  for (const float weight : batch.weights) {
    if (!(weight >= 0) || std::isinf(weight)) return Wrong("a weight of " + std::to_string(weight));
  }
  HEARTH_RETURN_IF_ERROR(CheckIds(batch.tokens, vocab_size, "tokens"));
  return CheckIds(batch.targets, vocab_size, "targets");
}

}  // namespace hearth::forge
