#include "training/data/byte_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

namespace hearth::forge {
namespace {

constexpr size_t kChunkBytes = size_t{256} << 10;
// zstd --ultra --long=27, its own limit for what a decoder takes unasked, is 128 MiB.
constexpr int kMaxZstdWindowLog = 27;

enum class Coding { kPlain, kGzip, kZstd };

ErrorCode CodeOf(int error_number) {
  if (error_number == ENOENT) return ErrorCode::kNotFound;
  if (error_number == EACCES || error_number == EPERM) return ErrorCode::kPermission;
  return ErrorCode::kIo;
}

}  // namespace

struct ByteStream::State {
  std::string path;
  int fd = -1;
  uint64_t file_bytes_read = 0;
  uint64_t file_size_bytes = 0;

  std::vector<char> input = std::vector<char>(kChunkBytes);
  size_t begin = 0, end = 0;  // what of `input` is not used yet
  bool at_end = false;        // of the file

  Coding coding = Coding::kPlain;
  z_stream gzip{};
  bool gzip_ready = false;
  ZSTD_DStream* zstd = nullptr;
  bool in_frame = false;  // compressed data has begun and not ended

  ~State() {
    if (gzip_ready) inflateEnd(&gzip);
    ZSTD_freeDStream(zstd);
    if (fd > STDERR_FILENO) close(fd);
  }

  // Reads more input behind what is left of it.
  Status Fill() {
    if (begin > 0) {
      std::memmove(input.data(), input.data() + begin, end - begin);
      end -= begin;
      begin = 0;
    }
    while (!at_end && end < input.size()) {
      const ssize_t got = read(fd, input.data() + end, input.size() - end);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return MakeError(CodeOf(errno), path + ": " + std::strerror(errno));
      if (got == 0) at_end = true;
      end += static_cast<size_t>(got);
      file_bytes_read += static_cast<uint64_t>(got);
      if (got > 0) break;
    }
    return {};
  }

  tl::unexpected<Error> Damaged(const char* what) const {
    return MakeError(ErrorCode::kCorrupt, path + ": " + what);
  }

  Status Begin() {
    while (!at_end && end < 4) HEARTH_RETURN_IF_ERROR(Fill());
    const auto starts_with = [&](std::initializer_list<unsigned char> magic) {
      return end >= magic.size() &&
             std::ranges::equal(magic, std::span(input).first(magic.size()), {}, {},
                                [](char c) { return static_cast<unsigned char>(c); });
    };
    if (starts_with({0x1f, 0x8b})) {
      coding = Coding::kGzip;
      // 16: the gzip format only.
      if (inflateInit2(&gzip, 16 + MAX_WBITS) != Z_OK)
        return MakeError(ErrorCode::kResourceExhausted, path + ": no memory to decompress");
      gzip_ready = true;
    } else if (starts_with({0x28, 0xb5, 0x2f, 0xfd})) {
      coding = Coding::kZstd;
      zstd = ZSTD_createDStream();
      if (zstd == nullptr)
        return MakeError(ErrorCode::kResourceExhausted, path + ": no memory to decompress");
      ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, kMaxZstdWindowLog);
    }
    return {};
  }

  Result<size_t> ReadPlain(std::span<char> out) {
    const size_t count = std::min(out.size(), end - begin);
    std::memcpy(out.data(), input.data() + begin, count);
    begin += count;
    return count;
  }

  Result<size_t> ReadGzip(std::span<char> out) {
    if (!in_frame) {
      if (inflateReset(&gzip) != Z_OK) return Damaged("cannot decompress");
      in_frame = true;
    }
    gzip.next_in = reinterpret_cast<Bytef*>(input.data() + begin);
    gzip.avail_in = static_cast<uInt>(end - begin);
    gzip.next_out = reinterpret_cast<Bytef*>(out.data());
    gzip.avail_out =
        static_cast<uInt>(std::min<size_t>(out.size(), std::numeric_limits<uInt>::max()));
    const uInt room = gzip.avail_out;
    const int code = inflate(&gzip, Z_NO_FLUSH);
    begin = end - gzip.avail_in;
    if (code == Z_STREAM_END) {
      in_frame = false;
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      return Damaged("the gzip data is damaged");
    }
    return room - gzip.avail_out;
  }

  Result<size_t> ReadZstd(std::span<char> out) {
    ZSTD_inBuffer from{input.data() + begin, end - begin, 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    in_frame = true;
    const size_t code = ZSTD_decompressStream(zstd, &to, &from);
    begin += from.pos;
    if (ZSTD_isError(code)) {
      return MakeError(ErrorCode::kCorrupt, path + ": the zstd data is damaged: " +
                                                std::string(ZSTD_getErrorName(code)));
    }
    in_frame = code != 0;
    return to.pos;
  }

  Result<size_t> Read(std::span<char> out) {
    for (;;) {
      if (begin == end) HEARTH_RETURN_IF_ERROR(Fill());
      const bool no_input = begin == end;
      if (no_input && !in_frame) return 0;
      const size_t before = begin;
      Result<size_t> got = coding == Coding::kGzip   ? ReadGzip(out)
                           : coding == Coding::kZstd ? ReadZstd(out)
                                                     : ReadPlain(out);
      if (!got || *got > 0) return got;
      if (no_input && in_frame) return Damaged("the compressed data is cut off");
      // A header that is not whole yet, or an empty frame: more input decides.
      if (begin == before && begin != end) {
        const size_t held = end - begin;
        HEARTH_RETURN_IF_ERROR(Fill());
        if (end - begin == held) return Damaged("the compressed data is cut off");
      }
    }
  }
};

ByteStream::ByteStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
ByteStream::ByteStream(ByteStream&&) noexcept = default;
ByteStream& ByteStream::operator=(ByteStream&&) noexcept = default;
ByteStream::~ByteStream() = default;

Result<ByteStream> ByteStream::Open(const std::string& path) {
  auto state = std::make_unique<State>();
  state->path = path == "-" ? "standard input" : path;
  state->fd = path == "-" ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (state->fd < 0) return MakeError(CodeOf(errno), path + ": " + std::strerror(errno));
  struct stat info {};
  if (fstat(state->fd, &info) != 0)
    return MakeError(CodeOf(errno), path + ": " + std::strerror(errno));
  if (S_ISDIR(info.st_mode)) return MakeError(ErrorCode::kIo, path + " is a folder");
  if (S_ISREG(info.st_mode)) state->file_size_bytes = static_cast<uint64_t>(info.st_size);
  HEARTH_RETURN_IF_ERROR(state->Begin());
  return ByteStream(std::move(state));
}

Result<size_t> ByteStream::Read(std::span<char> out) { return state_->Read(out); }
const std::string& ByteStream::path() const { return state_->path; }
uint64_t ByteStream::file_bytes_read() const { return state_->file_bytes_read; }
uint64_t ByteStream::file_size_bytes() const { return state_->file_size_bytes; }

}  // namespace hearth::forge
