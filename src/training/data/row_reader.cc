// Files -> the text of single rows, and those -> conversations.

#include <algorithm>
#include <utility>

#include "training/data/rows.h"

namespace hearth::forge {
namespace {

constexpr size_t kReadBytes = size_t{256} << 10;
constexpr std::string_view kBom = "\xef\xbb\xbf";

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

Result<RawRowReader> RawRowReader::Open(const std::string& path, size_t max_row_bytes) {
  HEARTH_ASSIGN_OR_RETURN(ByteStream stream, ByteStream::Open(path));
  return RawRowReader(std::move(stream), max_row_bytes);
}

tl::unexpected<Error> RawRowReader::Corrupt(const std::string& what) const {
  return MakeError(ErrorCode::kCorrupt, stream_.path() + ":" + std::to_string(line_) + ": " + what);
}

Result<int> RawRowReader::Peek() {
  if (pos_ == buffer_.size()) {
    buffer_.resize(kReadBytes);
    pos_ = 0;
    Result<size_t> got = stream_.Read(buffer_);
    buffer_.resize(got.value_or(0));
    if (!got) return tl::unexpected(got.error());
  }
  return buffer_.empty() ? -1 : static_cast<unsigned char>(buffer_[pos_]);
}

Status RawRowReader::SkipBlanks() {
  for (;;) {
    HEARTH_ASSIGN_OR_RETURN(const int c, Peek());
    if (c < 0 || !IsBlank(static_cast<char>(c))) return {};
    if (c == '\n') ++line_;
    ++pos_;
  }
}

Result<std::optional<RawRowReader::Row>> RawRowReader::Next() {
  if (shape_ == Shape::kUnknown) {
    HEARTH_ASSIGN_OR_RETURN(const int first, Peek());
    if (first >= 0 && std::string_view(buffer_).starts_with(kBom)) pos_ += kBom.size();
    HEARTH_RETURN_IF_ERROR(SkipBlanks());
    HEARTH_ASSIGN_OR_RETURN(const int c, Peek());
    shape_ = c == '[' ? Shape::kArray : Shape::kLines;
    if (c == '[') ++pos_;
  }
  if (shape_ == Shape::kDone) return std::nullopt;
  auto row = shape_ == Shape::kArray ? NextElement() : NextLine();
  if (!row || !*row) shape_ = Shape::kDone;
  return row;
}

Result<std::optional<RawRowReader::Row>> RawRowReader::NextLine() {
  HEARTH_RETURN_IF_ERROR(SkipBlanks());
  row_.clear();
  Row row;
  row.line = line_;
  for (;;) {
    HEARTH_ASSIGN_OR_RETURN(const int c, Peek());
    if (c < 0) break;
    const std::string_view rest = std::string_view(buffer_).substr(pos_);
    const size_t newline = rest.find('\n');
    const std::string_view part = rest.substr(0, newline);
    const size_t room = max_row_bytes_ - row_.size();
    row.too_large |= part.size() > room;
    row_.append(part.substr(0, room));
    pos_ += part.size();
    if (newline != std::string_view::npos) {
      ++pos_;
      ++line_;
      break;
    }
  }
  if (row_.empty()) return std::nullopt;
  row.json = row_;
  return row;
}

Result<std::optional<RawRowReader::Row>> RawRowReader::NextElement() {
  HEARTH_RETURN_IF_ERROR(SkipBlanks());
  HEARTH_ASSIGN_OR_RETURN(int c, Peek());
  if (c == ',' && !first_element_) {
    ++pos_;
    HEARTH_RETURN_IF_ERROR(SkipBlanks());
    HEARTH_ASSIGN_OR_RETURN(c, Peek());
    if (c == ']') return Corrupt("a comma before the end of the array");
  } else if (c != ']' && c >= 0 && !first_element_) {
    return Corrupt("the array's rows are not separated by a comma");
  }
  if (c < 0) return Corrupt("the array of rows is not closed");
  if (c == ']') {
    ++pos_;
    HEARTH_RETURN_IF_ERROR(SkipBlanks());
    HEARTH_ASSIGN_OR_RETURN(c, Peek());
    if (c >= 0) return Corrupt("text behind the array of rows");
    return std::nullopt;
  }
  first_element_ = false;
  row_.clear();
  Row row;
  row.line = line_;
  int64_t depth = 0;
  bool in_string = false, escaped = false;
  for (;;) {
    HEARTH_ASSIGN_OR_RETURN(c, Peek());
    if (c < 0) return Corrupt("the array of rows is cut off");
    if (!in_string) {
      if (c == '"') in_string = true;
      if (c == '{' || c == '[') ++depth;
      if (depth == 0 && (c == ',' || c == ']')) break;
      if (c == '}' || c == ']') --depth;
    } else if (escaped) {
      escaped = false;
    } else if (c == '\\') {
      escaped = true;
    } else if (c == '"') {
      in_string = false;
    }
    if (c == '\n') ++line_;
    ++pos_;
    if (row_.size() < max_row_bytes_) {
      row_ += static_cast<char>(c);
    } else {
      row.too_large = true;
    }
    if (depth == 0 && !in_string && (c == '}' || c == ']')) break;
  }
  if (row_.empty()) return Corrupt("two commas with no row between them");
  row.json = row_;
  return row;
}

Result<RowReader> RowReader::Open(std::vector<std::string> paths, size_t max_row_bytes) {
  if (paths.empty()) return MakeError(ErrorCode::kInvalidArgument, "no data files are named");
  HEARTH_ASSIGN_OR_RETURN(RawRowReader reader, RawRowReader::Open(paths[0], max_row_bytes));
  return RowReader(std::move(paths), max_row_bytes, std::move(reader));
}

Result<std::optional<Conversation>> RowReader::Next() {
  if (!can_continue_) return std::nullopt;
  for (;;) {
    if (!pending_.empty()) {
      Conversation conversation = std::move(pending_.front());
      pending_.pop_front();
      return conversation;
    }
    raw_ = {};
    can_continue_ = false;  // unless it turns out to be a row's fault
    HEARTH_ASSIGN_OR_RETURN(const std::optional<RawRowReader::Row> row, reader_.Next());
    if (!row) {
      if (static_cast<size_t>(source_) + 1 == paths_.size()) return std::nullopt;
      HEARTH_ASSIGN_OR_RETURN(
          reader_, RawRowReader::Open(paths_[static_cast<size_t>(source_) + 1], max_row_bytes_));
      ++source_;
      continue;
    }
    can_continue_ = true;
    raw_ = row->json;
    const auto fault = [&](const Error& error) {
      return MakeError(error.code, reader_.stream().path() + ":" + std::to_string(row->line) +
                                       ": " + error.message);
    };
    if (row->too_large) {
      return fault({ErrorCode::kResourceExhausted,
                    "the row has more than " + std::to_string(max_row_bytes_) + " bytes"});
    }
    Result<std::vector<Conversation>> conversations = ParseRow(row->json);
    if (!conversations) return fault(conversations.error());
    for (Conversation& conversation : *conversations) {
      conversation.source = source_;
      conversation.line = row->line;
      pending_.push_back(std::move(conversation));
    }
  }
}

double RowReader::progress() const {
  const ByteStream& stream = reader_.stream();
  const double within = stream.file_size_bytes() == 0
                            ? 0.0
                            : static_cast<double>(stream.file_bytes_read()) /
                                  static_cast<double>(stream.file_size_bytes());
  return std::min(1.0, (source_ + within) / static_cast<double>(paths_.size()));
}

}  // namespace hearth::forge
