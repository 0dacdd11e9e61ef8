#include "training/curate/hash_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace hearth::forge {
namespace {

constexpr size_t kMaxWholeBytes = size_t{16} << 20;

tl::unexpected<Error> CannotRead(const std::string& path) {
  const ErrorCode code = errno == ENOENT || errno == ENOTDIR ? ErrorCode::kNotFound
                         : errno == EACCES                   ? ErrorCode::kPermission
                                                             : ErrorCode::kIo;
  return MakeError(code, "cannot read " + path + ": " + std::strerror(errno));
}

// Calls visit(bytes, size) for each piece of the file.
template <typename Visit>
Status ReadPieces(const std::string& path, Visit&& visit) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"),
                                                             &std::fclose);
  if (!file) return CannotRead(path);
  std::vector<char> buffer(size_t{1} << 20);
  for (;;) {
    errno = 0;
    const size_t size = std::fread(buffer.data(), 1, buffer.size(), file.get());
    if (size > 0) HEARTH_RETURN_IF_ERROR(visit(buffer.data(), size));
    if (size < buffer.size()) {
      if (std::ferror(file.get()) != 0) return CannotRead(path);
      return {};
    }
  }
}

}  // namespace

Result<FileHash> HashFile(const std::string& path) {
  std::error_code ignored;
  // A pipe can be read once only, and that is for its rows.
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored) &&
      !std::filesystem::is_directory(path, ignored))
    return FileHash{};
  FileHash result;
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              &XXH3_freeState);
  XXH3_128bits_reset(state.get());
  HEARTH_RETURN_IF_ERROR(ReadPieces(path, [&](const char* data, size_t size) -> Status {
    result.size_bytes += size;
    XXH3_128bits_update(state.get(), data, size);
    return {};
  }));
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  result.hex = text;
  return result;
}

Result<std::string> ReadWholeFile(const std::string& path) {
  std::string text;
  HEARTH_RETURN_IF_ERROR(ReadPieces(path, [&](const char* data, size_t size) -> Status {
    text.append(data, size);
    if (text.size() > kMaxWholeBytes)
      return MakeError(ErrorCode::kResourceExhausted,
                       path + " is larger than " + std::to_string(kMaxWholeBytes) + " bytes");
    return {};
  }));
  return text;
}

std::string QuoteJson(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace hearth::forge
