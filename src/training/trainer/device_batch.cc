#include "training/trainer/device_batch.h"

#include <cstring>

namespace hearth::forge {
namespace {

template <typename To, typename From>
Tensor Copy(const std::vector<From>& values, at::ScalarType type, const at::Device& device) {
  const auto count = static_cast<int64_t>(values.size());
  // From pinned memory a copy waits for nothing.
  const Tensor host =
      at::empty({count}, at::TensorOptions().dtype(type).pinned_memory(device.is_cuda()));
  To* out = static_cast<To*>(host.data_ptr());
  for (size_t i = 0; i < values.size(); ++i) out[i] = static_cast<To>(values[i]);
  return host.to(device, /*non_blocking=*/true);
}

}  // namespace

DeviceBatch ToDevice(const Batch& batch, const at::Device& device) {
  DeviceBatch out;
  std::vector<int64_t> rows;
  std::vector<int32_t> targets;
  std::vector<float> weights;
  for (size_t place = 0; place < batch.weights.size(); ++place) {
    if (batch.weights[place] == 0) continue;
    rows.push_back(static_cast<int64_t>(place));
    targets.push_back(batch.targets[place]);
    weights.push_back(batch.weights[place]);
    out.weight += static_cast<double>(batch.weights[place]);
  }
  out.tokens = Copy<int64_t>(batch.tokens, at::kLong, device);
  out.segments = SegmentLayout::Make(
      {batch.segment_lengths.begin(), batch.segment_lengths.end()}, device);
  if (!batch.adapter_mask.empty())
    out.adapter_mask = Copy<uint8_t>(batch.adapter_mask, at::kByte, device);
  out.rows = Copy<int64_t>(rows, at::kLong, device);
  out.targets = Copy<int64_t>(targets, at::kLong, device);
  out.weights = Copy<float>(weights, at::kFloat, device);
  return out;
}

int64_t CountRows(const Batch& batch) {
  int64_t count = 0;
  for (const float weight : batch.weights) count += weight != 0 ? 1 : 0;
  return count;
}

}  // namespace hearth::forge
