#include "apps/hearth/chat_input.h"

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

constexpr std::string_view kFence = "\"\"\"";
constexpr std::string_view kBlanks = " \t\r\n";

bool IsCommand(std::string_view line) { return line.starts_with('/') && !line.starts_with("//"); }

ChatInput MessageOf(std::string text) {
  ChatInput input;
  input.message = std::move(text);
  return input;
}

}  // namespace

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

ChatCommand ParseCommand(std::string_view line) {
  line = Trim(line);
  if (line.starts_with('/')) line.remove_prefix(1);
  const size_t end = std::min(line.find_first_of(kBlanks), line.size());
  ChatCommand command;
  for (const char c : line.substr(0, end))
    command.name += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  command.arguments = Trim(line.substr(end));
  return command;
}

std::optional<ChatInput> InputReader::Push(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!unfinished()) {
    if (IsCommand(line))
      return ChatInput{.is_command = true, .command = ParseCommand(line), .message = {}};
    if (line.starts_with("//")) line.remove_prefix(1);
    if (line.starts_with(kFence)) {
      in_block_ = true;
      line.remove_prefix(kFence.size());
      if (line.empty()) return std::nullopt;  // the fence has the line to itself
    }
  }
  if (in_block_) {
    if (line.ends_with(kFence)) {
      text_ += line.substr(0, line.size() - kFence.size());
      if (text_.ends_with('\n')) text_.pop_back();  // the closing fence has the line to itself
      return Take();
    }
    text_ += line;
    text_ += '\n';
    return std::nullopt;
  }
  if (line.ends_with('\\')) {
    text_ += line.substr(0, line.size() - 1);
    text_ += '\n';
    continued_ = true;
    return std::nullopt;
  }
  text_ += line;
  return Take();
}

std::optional<ChatInput> InputReader::Finish() {
  if (text_.ends_with('\n')) text_.pop_back();
  if (text_.empty()) {
    Reset();
    return std::nullopt;
  }
  return Take();
}

void InputReader::Reset() {
  text_.clear();
  in_block_ = false;
  continued_ = false;
}

ChatInput InputReader::Take() {
  ChatInput input = MessageOf(std::move(text_));
  Reset();
  return input;
}

}  // namespace hearth
