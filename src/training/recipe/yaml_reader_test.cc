#include "training/recipe/yaml_reader.h"

#include <gtest/gtest.h>

namespace hearth::forge {
namespace {

std::string ErrorOf(std::string_view text, const YamlLimits& limits = {}) {
  const auto node = ReadYaml(text, limits);
  return node ? "no error" : node.error().message;
}

TEST(YamlReader, KeepsOrderLinesAndQuotes) {
  const auto root = ReadYaml("b: 1\na:\n  - x\n  - \"true\"\nempty:\ntext: |\n  two\n  lines\n");
  ASSERT_TRUE(root) << root.error().message;
  ASSERT_EQ(root->items.size(), 4u);
  EXPECT_EQ(root->items[0].key, "b");
  EXPECT_EQ(root->items[0].scalar, "1");
  EXPECT_FALSE(root->items[0].quoted);
  const YamlNode& list = root->items[1];
  ASSERT_TRUE(list.is_sequence());
  EXPECT_EQ(list.key_line, 2);
  EXPECT_EQ(list.items[1].line, 4);
  EXPECT_TRUE(list.items[1].quoted);
  EXPECT_TRUE(root->items[2].is_null());
  EXPECT_EQ(root->items[3].scalar, "two\nlines\n");
  EXPECT_EQ(root->Find("nothing"), nullptr);
}

TEST(YamlReader, RefusesWhatMakesYamlDangerous) {
  EXPECT_EQ(ErrorOf("a: &x 1\nb: *x\n"), "line 1: anchors (&name) are not read");
  // The billion laughs: refused at the first anchor, before anything grows.
  EXPECT_EQ(ErrorOf("a: &a [lol, lol]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
            "line 1: anchors (&name) are not read");
  EXPECT_EQ(ErrorOf("a: !!binary x\n"), "line 1: tags (!name) are not read");
  EXPECT_EQ(ErrorOf("a: 1\n\na: 2\n"),
            "line 3: a stands here a second time; the first is in line 1");
  EXPECT_EQ(ErrorOf("[a, b]: 1\n"), "line 1: a key must be a word, not a list or a mapping");
  EXPECT_EQ(ErrorOf("a: 1\n---\nb: 2\n"), "line 2: a second document; a recipe is one");
}

TEST(YamlReader, IsBounded) {
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "- ";
  EXPECT_EQ(ErrorOf(deep + "x"), "line 1: nested deeper than 12 levels");
  EXPECT_EQ(ErrorOf("a: " + std::string(100000, '[')).substr(0, 8), "line 1: ");
  EXPECT_EQ(ErrorOf("a: " + std::string(100000, '{')).substr(0, 8), "line 1: ");
  std::string many = "a:\n";
  for (int i = 0; i < 6000; ++i) many += "- 1\n";
  EXPECT_EQ(ErrorOf(many), "line 5000: more than 5000 values");
  EXPECT_EQ(ErrorOf(std::string(300000, ' ')), "300000 bytes; a recipe has at most 262144");
}

TEST(YamlReader, NamesTheLineOfWhatIsNoYaml) {
  EXPECT_EQ(ErrorOf("a: 1\nb: [1, 2\nc: 3\n").substr(0, 5), "line ");
  EXPECT_EQ(ErrorOf(std::string("a: \xff\n")), "not UTF-8 text");
  EXPECT_EQ(ErrorOf(std::string("a\0: 1\n", 6)), "not UTF-8 text");
}

}  // namespace
}  // namespace hearth::forge
