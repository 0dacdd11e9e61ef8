#include "eval/scorers/code_block.h"

#include <gtest/gtest.h>

#include "eval/scorers/code_program.h"

namespace hearth::eval {
namespace {

TEST(CodeBlocks, OfEveryKindAreFound) {
  const auto blocks = FindCodeBlocks(
      "Here:\n```Python\na = 1\n```\nand\n~~~\nb\n```\n~~~\n  ```cpp\n  c\n    d\n  ```\n"
      "and `inline`\n```js\nopen");
  ASSERT_EQ(blocks.size(), 4u);
  EXPECT_EQ(blocks[0].language, "python");
  EXPECT_EQ(blocks[0].code, "a = 1\n");
  EXPECT_EQ(blocks[1].language, "");
  EXPECT_EQ(blocks[1].code, "b\n```\n");
  EXPECT_EQ(blocks[2].code, "c\n  d\n") << "the fence's indentation belongs to no line";
  EXPECT_EQ(blocks[3].code, "open\n");
  EXPECT_TRUE(FindCodeBlocks("no code").empty());
}

TEST(DefinesFunction, ADefinitionIsNotACall) {
  EXPECT_TRUE(DefinesFunction("def add(a, b):", Language::kPython, "add"));
  EXPECT_TRUE(DefinesFunction("async def add (a):", Language::kPython, "add"));
  EXPECT_FALSE(DefinesFunction("print(add(1, 2))", Language::kPython, "add"));
  EXPECT_FALSE(DefinesFunction("def add_all(a):", Language::kPython, "add"));
  EXPECT_FALSE(DefinesFunction("# def add(a):", Language::kPython, "add"));

  EXPECT_TRUE(DefinesFunction("std::vector<long> add(long a) {", Language::kCpp, "add"));
  EXPECT_TRUE(DefinesFunction("long* add(long a)", Language::kCpp, "add"));
  EXPECT_FALSE(DefinesFunction("  return add(1);", Language::kCpp, "add"));
  EXPECT_FALSE(DefinesFunction("long add(long a);", Language::kCpp, "add")) << "a declaration";
  EXPECT_FALSE(DefinesFunction("  std::cout << add(1) << 2;", Language::kCpp, "add"));

  EXPECT_TRUE(DefinesFunction("function add(a) {", Language::kJavaScript, "add"));
  EXPECT_TRUE(DefinesFunction("async function add(a) {", Language::kJavaScript, "add"));
  EXPECT_TRUE(DefinesFunction("const add = (a) => a;", Language::kJavaScript, "add"));
  EXPECT_FALSE(DefinesFunction("console.log(add(1));", Language::kJavaScript, "add"));
  EXPECT_FALSE(DefinesFunction("x = add(1)", Language::kJavaScript, "add"));
}

TEST(FindFunction, TakesTheFirstBlockThatDefinesIt) {
  const auto found = FindFunction(
      "First import:\n```python\nimport math\n```\n```python\ndef f(x):\n    return x\n```\n"
      "Use it:\n```python\nprint(f(1))\n```\n",
      Language::kPython, "f");
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->whole);
  EXPECT_EQ(found->code, "def f(x):\n    return x\n");
}

TEST(FindFunction, WithoutAFenceProseAroundItIsLeftOut) {
  const auto found = FindFunction(
      "Sure, from here it is easy:\nimport math\n\ndef f(x):\n    return x\n\nThis returns x.\n",
      Language::kPython, "f");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->code, "import math\n\ndef f(x):\n    return x\n\n");
  const auto cpp =
      FindFunction("Sure.\nlong f(long x) {\n  return x;\n}\nThat is it.", Language::kCpp, "f");
  ASSERT_TRUE(cpp);
  EXPECT_EQ(cpp->code, "long f(long x) {\n  return x;\n}\n");
}

TEST(FindFunction, AnIndentedBlockIsABody) {
  const auto found = FindFunction("```python\n    return x\n```", Language::kPython, "f");
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->whole);
}

TEST(FindFunction, ProseOrAnotherFunctionIsNoAnswer) {
  EXPECT_FALSE(FindFunction("I cannot do that.", Language::kPython, "f"));
  EXPECT_FALSE(FindFunction("```python\ndef g(x):\n    return x\n```", Language::kPython, "f"));
  EXPECT_FALSE(FindFunction("", Language::kPython, "f"));
}

std::string FileOf(const CodeProgram& program, const std::string& name) {
  for (const auto& [file, content] : program.files)
    if (file == name) return content;
  return "";
}

TEST(Program, KeepsWhatThePromptImportsAndDefines) {
  const CodeTask task{
      Language::kPython,
      "import math\n\ndef helper():\n    return 2\n\ndef f(x):\n    \"\"\"doc\"\"\"\n",
      "def check(candidate):\n    assert candidate(1) == 2\n", "f"};
  const auto whole = BuildProgram(task, "```python\ndef f(x):\n    return helper()\n```", "MARK");
  ASSERT_TRUE(whole);
  EXPECT_EQ(FileOf(*whole, "solution.py"),
            "import math\n\ndef helper():\n    return 2\n\n\ndef f(x):\n    return helper()\n");
  const auto body = BuildProgram(task, "```\n    return 2\n```", "MARK");
  ASSERT_TRUE(body);
  EXPECT_EQ(FileOf(*body, "solution.py"), task.prompt + "    return 2\n");
}

TEST(Program, OfCppHasOneMainAndOneOfEachType) {
  const CodeTask task{
      Language::kCpp, "#include<assert.h>\nunion Union_a{\n  long f0;\n};\nlong f(long n) {\n",
      "}\nint main() {\n    auto candidate = f;\n    assert(candidate(1) == 1);\n}\n", "f"};
  const auto program =
      BuildProgram(task,
                   "```cpp\nunion Union_a{ long f0; };\nlong f(long n) { return n; }\n"
                   "int main() { // \"}\"\n  if (f(1)) { return 0; }\n  return '}';\n}\n```",
                   "MARK");
  ASSERT_TRUE(program);
  const std::string source = FileOf(*program, "main.cc");
  EXPECT_EQ(source,
            "#include <cstdio>\n#include<assert.h>\nunion Union_a{ long f0; };\nlong f(long n) { "
            "return n; }\n\n\n\nint main() {\n    auto candidate = f;\n    assert(candidate(1) == "
            "1);\n    std::puts(\"\\nMARK\");\n}\n");
}

TEST(Program, TheTestsNameTheFunction) {
  EXPECT_EQ(FunctionOfTests("  let candidate = sort_array;\n"), "sort_array");
  EXPECT_EQ(FunctionOfTests("nothing"), "");
}

}  // namespace
}  // namespace hearth::eval
