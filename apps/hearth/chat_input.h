#pragma once
// What a user types in `hearth chat`: lines become messages or commands. No terminal here.

#include <optional>
#include <string>
#include <string_view>

namespace hearth {

// A line that begins with a slash: "/set top-p 0.9" is {"set", "top-p 0.9"}. Two slashes begin a
// message with one.
struct ChatCommand {
  std::string name;       // lower case, without the slash; may be empty
  std::string arguments;  // the rest, trimmed
};

struct ChatInput {
  bool is_command = false;
  ChatCommand command;
  std::string message;
};

// Collects the lines of one input. A line that begins with """ opens a block which goes on until a
// line that ends with """; any other line goes on when it ends with a backslash. Commands are
// single lines.
class InputReader {
 public:
  // One line without its newline. The input, once it is complete.
  std::optional<ChatInput> Push(std::string_view line);
  // The end of all input: whatever is unfinished counts as complete. Nothing when there is nothing.
  std::optional<ChatInput> Finish();
  // Forgets an unfinished input.
  void Reset();
  // Whether a further line belongs to the same input.
  bool unfinished() const { return in_block_ || continued_; }

 private:
  ChatInput Take();

  std::string text_;
  bool in_block_ = false;
  bool continued_ = false;
};

std::string_view Trim(std::string_view text);
ChatCommand ParseCommand(std::string_view line);

}  // namespace hearth
