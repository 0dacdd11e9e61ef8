#include "apps/hearth/chat_input.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

// The message that one line makes.
std::string MessageOf(std::string_view line) {
  InputReader reader;
  const auto input = reader.Push(line);
  return input && !input->is_command ? input->message : "(none)";
}

TEST(ParseCommand, SplitsNameAndArguments) {
  const ChatCommand command = ParseCommand("  /SET   top-p  0.9  ");
  EXPECT_EQ(command.name, "set");
  EXPECT_EQ(command.arguments, "top-p  0.9");
  EXPECT_EQ(ParseCommand("/new").arguments, "");
  EXPECT_EQ(ParseCommand("/").name, "");
}

TEST(InputReader, LineIsAMessage) {
  EXPECT_EQ(MessageOf("hello there"), "hello there");
  EXPECT_EQ(MessageOf("with a return\r"), "with a return");
  EXPECT_EQ(MessageOf(""), "");
}

TEST(InputReader, SlashIsACommandAndTwoSlashesAreNot) {
  InputReader reader;
  const auto command = reader.Push("/system Be brief.");
  ASSERT_TRUE(command && command->is_command);
  EXPECT_EQ(command->command.name, "system");
  EXPECT_EQ(command->command.arguments, "Be brief.");
  EXPECT_EQ(MessageOf("//usr/bin is a folder"), "/usr/bin is a folder");
}

TEST(InputReader, TrailingBackslashGoesOn) {
  InputReader reader;
  EXPECT_FALSE(reader.Push("first\\"));
  EXPECT_TRUE(reader.unfinished());
  EXPECT_FALSE(reader.Push("/not a command here\\"));
  const auto input = reader.Push("last");
  ASSERT_TRUE(input);
  EXPECT_EQ(input->message, "first\n/not a command here\nlast");
  EXPECT_FALSE(reader.unfinished());
}

TEST(InputReader, BlockKeepsItsLines) {
  InputReader reader;
  EXPECT_FALSE(reader.Push("\"\"\""));
  EXPECT_FALSE(reader.Push("  indented"));
  EXPECT_FALSE(reader.Push(""));
  EXPECT_FALSE(reader.Push("/new"));
  EXPECT_FALSE(reader.Push("a backslash\\"));
  const auto input = reader.Push("\"\"\"");
  ASSERT_TRUE(input);
  EXPECT_EQ(input->message, "  indented\n\n/new\na backslash\\");
}

TEST(InputReader, BlockMayShareLinesWithItsText) {
  EXPECT_EQ(MessageOf("\"\"\"all in one\"\"\""), "all in one");
  InputReader reader;
  EXPECT_FALSE(reader.Push("\"\"\"one"));
  const auto input = reader.Push("two\"\"\"");
  ASSERT_TRUE(input);
  EXPECT_EQ(input->message, "one\ntwo");
}

TEST(InputReader, EndOfInputCompletesWhatIsThere) {
  InputReader reader;
  reader.Push("\"\"\"never closed");
  const auto input = reader.Finish();
  ASSERT_TRUE(input);
  EXPECT_EQ(input->message, "never closed");
  EXPECT_FALSE(reader.Finish());
}

TEST(InputReader, ResetForgetsTheUnfinished) {
  InputReader reader;
  reader.Push("gone\\");
  reader.Reset();
  EXPECT_EQ(reader.Push("kept")->message, "kept");
}

}  // namespace
}  // namespace hearth
