#pragma once
// For the tests of kernels: random values and a comparison that forgives nothing.

#include <gmock/gmock.h>

#include <bit>
#include <cstdint>
#include <random>
#include <vector>

namespace hearth {

inline std::vector<float> RandomFloats(size_t count, std::mt19937& rng, float scale = 1.0f) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(rng);
  return values;
}

// The same floats, bit for bit.
MATCHER_P(SameBits, expected, "") {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::bit_cast<uint32_t>(arg[i]) != std::bit_cast<uint32_t>(expected[i])) {
      *result_listener << "element " << i << " is " << arg[i] << ", expected " << expected[i];
      return false;
    }
  }
  return arg.size() == expected.size();
}

}  // namespace hearth
