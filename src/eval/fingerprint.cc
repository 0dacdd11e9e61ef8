#include "eval/fingerprint.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/mapped_file.h"

namespace hearth::eval {
namespace {

constexpr size_t kPiece = size_t{32} << 20;

std::string Hex(uint64_t value) {
  std::array<char, 17> text;
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(value));
  return text.data();
}

}  // namespace

std::string Fingerprint(std::string_view bytes) {
  return Hex(XXH3_64bits(bytes.data(), bytes.size()));
}

Result<std::string> FileFingerprint(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const std::span<const std::byte> bytes = file.bytes();
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  for (size_t offset = 0; offset < bytes.size(); offset += kPiece) {
    const size_t size = std::min(kPiece, bytes.size() - offset);
    XXH3_64bits_update(state, bytes.data() + offset, size);
    // A model's pages are not worth keeping.
    file.Release(offset, size);
  }
  const uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return Hex(hash);
}

}  // namespace hearth::eval
