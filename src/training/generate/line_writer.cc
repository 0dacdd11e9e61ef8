#include "training/generate/line_writer.h"

#include <zlib.h>

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/check.h"

namespace hearth::forge {
namespace {

constexpr int kGzipWindow = 15 + 16;  // zlib's way of asking for a gzip header

}  // namespace

struct LineWriter::State {
  explicit State(AtomicFile f) : file(std::move(f)) {}
  ~State() {
    if (deflate) deflateEnd(&*deflate);
  }
  AtomicFile file;
  std::optional<z_stream> deflate;
  std::vector<std::byte> out = std::vector<std::byte>(size_t{1} << 16);
};

LineWriter::LineWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
LineWriter::LineWriter(LineWriter&&) noexcept = default;
LineWriter::~LineWriter() = default;

Result<LineWriter> LineWriter::Create(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  auto state = std::make_unique<State>(std::move(file));
  if (path.ends_with(".gz")) {
    state->deflate.emplace();
    const int code =
        deflateInit2(&*state->deflate, /*level=*/5, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY);
    if (code != Z_OK) {
      state->deflate.reset();
      return MakeError(ErrorCode::kResourceExhausted, path + ": no memory to compress it");
    }
  }
  return LineWriter(std::move(state));
}

Status LineWriter::Put(std::string_view bytes, bool last) {
  if (!state_->deflate) return state_->file.Write(std::as_bytes(std::span(bytes)));
  z_stream& stream = *state_->deflate;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  do {
    stream.next_out = reinterpret_cast<Bytef*>(state_->out.data());
    stream.avail_out = static_cast<uInt>(state_->out.size());
    HEARTH_CHECK(deflate(&stream, last ? Z_FINISH : Z_NO_FLUSH) != Z_STREAM_ERROR);
    const size_t made = state_->out.size() - stream.avail_out;
    HEARTH_RETURN_IF_ERROR(state_->file.Write(std::span(state_->out).first(made)));
  } while (stream.avail_out == 0);
  return {};
}

Status LineWriter::Write(std::string_view line) {
  HEARTH_RETURN_IF_ERROR(Put(line, false));
  return Put("\n", false);
}

Status LineWriter::Commit() {
  if (state_->deflate) HEARTH_RETURN_IF_ERROR(Put("", true));
  return state_->file.Commit();
}

}  // namespace hearth::forge
