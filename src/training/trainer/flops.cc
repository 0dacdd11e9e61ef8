#include "training/trainer/flops.h"

namespace hearth::forge {
namespace {

struct Peak {
  std::string_view name;  // part of the device's
  double bf16, f32;       // in 10^12 per second
};

// The first that matches: longer names stand before their beginnings.
constexpr Peak kPeaks[] = {
    {"H100 PCIe", 756, 51}, {"H100 NVL", 835, 60}, {"H100", 989, 67},    {"H200", 989, 67},
    {"H800", 989, 67},      {"H20", 148, 44},      {"GH200", 989, 67},   {"GB200", 2500, 80},
    {"B200", 2250, 75},     {"A100", 312, 19.5},   {"A800", 312, 19.5},  {"L40S", 362, 91.6},
    {"L40", 181, 90.5},     {"L4", 121, 30.3},     {"A40", 149.7, 37.4}, {"A10", 125, 31.2},
    {"RTX 4090", 165, 82.6}, {"RTX 3090", 71, 35.6},
};

}  // namespace

DecoderFlops ForwardFlops(const DecoderConfig& config, const std::vector<int32_t>& lengths,
                          int64_t head_rows) {
  double tokens = 0, pairs = 0;  // of queries and the keys they see
  for (const int32_t length : lengths) {
    const auto size = static_cast<double>(length);
    tokens += size;
    pairs += size * (size + 1) / 2;
  }
  const auto hidden = static_cast<double>(config.hidden_size);
  const auto query = static_cast<double>(config.query_size());
  const auto kv = static_cast<double>(config.kv_size());
  const auto ffn = static_cast<double>(config.ffn_size);
  const auto layers = static_cast<double>(config.num_layers);
  DecoderFlops flops;
  flops.linears = 2 * tokens * layers * hidden * (2 * query + 2 * kv + 3 * ffn);
  flops.attention = 2 * 2 * pairs * query * layers;
  flops.head = 2 * static_cast<double>(head_rows) * hidden * static_cast<double>(config.vocab_size);
  return flops;
}

double PeakFlops(std::string_view device_name, bool bf16) {
  for (const Peak& peak : kPeaks) {
    if (device_name.find(peak.name) != std::string_view::npos)
      return (bf16 ? peak.bf16 : peak.f32) * 1e12;
  }
  return 0;
}

}  // namespace hearth::forge
