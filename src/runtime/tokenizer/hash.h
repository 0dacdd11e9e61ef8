#pragma once
// One 64-bit hash for the tokenizer's tables. Values never leave the process, so it need not be
// stable.

#include <cstdint>
#include <cstring>
#include <string_view>

namespace hearth {

// Folds the 128-bit product: every input bit reaches every output bit (the step of wyhash and its
// kin).
inline uint64_t MixHash(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline constexpr uint64_t kHashMultiplier = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio, odd

inline uint64_t HashBytes(std::string_view bytes) {
  uint64_t hash = 0xD6E8FEB86659FD93 ^ bytes.size();
  const char* data = bytes.data();
  size_t left = bytes.size();
  uint64_t word;
  for (; left >= sizeof(word); data += sizeof(word), left -= sizeof(word)) {
    std::memcpy(&word, data, sizeof(word));
    hash = MixHash(hash ^ word, kHashMultiplier);
  }
  word = 0;
  if (left > 0) std::memcpy(&word, data, left);
  return MixHash(hash ^ word, kHashMultiplier);
}

}  // namespace hearth
