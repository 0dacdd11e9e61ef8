#include "apps/hearth/terminal.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(WithoutControls, TakesEscapeSequencesTheirPower) {
  EXPECT_EQ(WithoutControls("\033]0;title\007 \033[2Jgone\r\b"), "]0;title [2Jgone");
  EXPECT_EQ(WithoutControls("a\xc2\x9b"
                            "31mb"),
            "a31mb");  // the one-character form of ESC [
  EXPECT_EQ(WithoutControls("\x7f"), "");
}

TEST(WithoutControls, KeepsTextLinesAndTabs) {
  const std::string text = "caf\xc3\xa9\t\xc2\xa0\n\xe6\xbc\xa2 \xf0\x9f\x94\xa5";
  EXPECT_EQ(WithoutControls(text), text);
}

TEST(OneLine, JoinsLines) { EXPECT_EQ(OneLine("a\nb\tc"), "a b c"); }

TEST(FormatBytes, ChoosesTheUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes((int64_t{1} << 20) - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(int64_t{3} << 30), "3.0 GiB");
}

TEST(FormatCount, ChoosesTheUnit) {
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(134515008), "134.5 M");
  EXPECT_EQ(FormatCount(999'999'999), "1.0 B");
}

TEST(ReadTextFile, NamesAMissingFile) {
  const auto text = ReadTextFile("/nonexistent/file");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::kNotFound);
  EXPECT_NE(text.error().message.find("/nonexistent/file"), std::string::npos);
}

TEST(ReadTextFile, RefusesAFolderAndMoreThanAllowed) {
  EXPECT_FALSE(ReadTextFile("/"));
  const auto zeros = ReadTextFile("/dev/zero", 1 << 20);
  ASSERT_FALSE(zeros);
  EXPECT_EQ(zeros.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace hearth
