#pragma once
// Rows of instruction data in the shapes that people have them -> one shape, Conversation. Files
// are JSONL or one JSON array of objects, plain, gzip or zstd. What a row is, is told by its
// fields:
//
//   messages             [{role, content}]; content a string, null, or parts of type "text"
//   ShareGPT             conversations: [{from, value}]
//   Alpaca               instruction, input, output (or response); system, history; self-instruct's
//                        instances: [{input, output}], each a conversation of its own
//   prompt/completion    prompt, completion (or response, answer, output, canonical_solution),
//                        either a string or messages; question, answer; a prompt alone; turns
//   text                 text (or content)
//
// Rows are hostile: bad UTF-8, wrong types, unknown roles, deep nesting and giant rows are errors
// that name file and line, and reading goes on with the next row.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "training/data/byte_stream.h"

namespace hearth::forge {

struct Message {
  std::string role;  // "system", "user", "assistant", "tool"; "text" in a row of plain text
  std::string content;
  bool operator==(const Message&) const = default;
};

enum class RowFormat { kMessages, kShareGpt, kAlpaca, kPromptCompletion, kText };
std::string_view RowFormatName(RowFormat format);

struct Conversation {
  std::vector<Message> messages;  // at least one
  RowFormat format = RowFormat::kMessages;
  int source = 0;    // which of the files, from 0, in the order given
  int64_t line = 0;  // where the row begins, from 1
};

// One row's JSON object -> its conversations, in order; source and line are left 0. Pure, safe from
// many threads. Errors: kCorrupt (no JSON object, bad UTF-8, a field of the wrong type),
// kUnsupported (fields of no shape above, or an unknown role); messages without file and line.
Result<std::vector<Conversation>> ParseRow(std::string_view json);

// {"messages": [...]} or {"text": ...}, one line without its end. Content must be UTF-8, as
// ParseRow gives it; other bytes become U+FFFD.
std::string ToJsonLine(const Conversation& conversation);

// Is `text` UTF-8 without surrogates and overlong forms?
bool IsUtf8(std::string_view text);

// The rows of one file as they stand, without parsing them: cheap, so that many threads can share
// ParseRow. Threads: one at a time.
class RawRowReader {
 public:
  static constexpr size_t kMaxRowBytes = size_t{16} << 20;

  static Result<RawRowReader> Open(const std::string& path, size_t max_row_bytes = kMaxRowBytes);

  struct Row {
    std::string_view json;  // until the next call
    int64_t line = 0;
    bool too_large = false;  // then `json` is only the row's beginning
  };
  // Empty lines are passed over; nothing at the end. Errors: those of ByteStream::Read; kCorrupt
  // for an array that is not separated by commas or not closed. All of them end the file.
  Result<std::optional<Row>> Next();

  const ByteStream& stream() const { return stream_; }

 private:
  RawRowReader(ByteStream stream, size_t max_row_bytes)
      : stream_(std::move(stream)), max_row_bytes_(max_row_bytes) {}
  // The next byte, or -1 at the end.
  Result<int> Peek();
  Status SkipBlanks();
  Result<std::optional<Row>> NextLine();
  Result<std::optional<Row>> NextElement();
  tl::unexpected<Error> Corrupt(const std::string& what) const;

  enum class Shape { kUnknown, kLines, kArray, kDone };

  ByteStream stream_;
  size_t max_row_bytes_;
  Shape shape_ = Shape::kUnknown;
  std::string buffer_;
  size_t pos_ = 0;  // in buffer_
  bool first_element_ = true;
  int64_t line_ = 1;
  std::string row_;
};

// All conversations of several files, one after the other. Threads: one at a time.
class RowReader {
 public:
  // Opens the first file. Errors: those of ByteStream::Open; kInvalidArgument for no files.
  static Result<RowReader> Open(std::vector<std::string> paths,
                                size_t max_row_bytes = RawRowReader::kMaxRowBytes);

  // The next conversation; nothing at the end of the last file. An error begins "FILE:LINE: " (or
  // "FILE: "). After one about a single row, can_continue() is true and the next call goes on
  // behind it; after one about a file (unreadable, damaged compression) it is false.
  Result<std::optional<Conversation>> Next();
  bool can_continue() const { return can_continue_; }

  // The text of the row that the last conversation or error came from, until the next call.
  std::string_view raw() const { return raw_; }
  // The share of the files read, 0 to 1.
  double progress() const;
  const std::vector<std::string>& paths() const { return paths_; }

 private:
  RowReader(std::vector<std::string> paths, size_t max_row_bytes, RawRowReader reader)
      : paths_(std::move(paths)), max_row_bytes_(max_row_bytes), reader_(std::move(reader)) {}

  std::vector<std::string> paths_;
  size_t max_row_bytes_;
  int source_ = 0;
  RawRowReader reader_;
  std::string_view raw_;
  std::deque<Conversation> pending_;  // of a row that holds several
  bool can_continue_ = true;
};

}  // namespace hearth::forge
