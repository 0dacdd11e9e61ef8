#include "eval/scorers/function_calls.h"

#include <gtest/gtest.h>

namespace hearth::eval {
namespace {

// "NAME ARGUMENTS" for each call, joined by "; ".
std::string Calls(std::string_view answer) {
  std::string text;
  for (const FunctionCall& call : ParseFunctionCalls(answer))
    text += (text.empty() ? "" : "; ") + call.name + " " + JsonText(call.arguments);
  return text;
}

TEST(FunctionCalls, InToolCallTags) {
  EXPECT_EQ(Calls("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"),
            R"(f {"a":1})");
  EXPECT_EQ(Calls("Sure.\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n"
                  "<tool_call>{\"name\": \"g\", \"arguments\": {\"b\": [1, 2]}}"),
            R"(f {}; g {"b":[1,2]})");
  EXPECT_EQ(Calls("<tool_call>not json</tool_call>"), "");
}

TEST(FunctionCalls, AsJsonWithProseAround) {
  EXPECT_EQ(Calls("```json\n{\"name\": \"f\", \"arguments\": {\"a\": \"x\"}}\n```"),
            R"(f {"a":"x"})");
  EXPECT_EQ(Calls("I call {\"name\": \"f\", \"parameters\": {\"a\": {\"b\": 2}}} now"),
            R"(f {"a":{"b":2}})");
  EXPECT_EQ(Calls(R"([{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}])"),
            "f {}; g {}");
  EXPECT_EQ(Calls(R"({"type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}})"),
            R"(f {"a":1})");
}

TEST(FunctionCalls, AsPython) {
  EXPECT_EQ(Calls("[weather.get(city='Paris', days=[1, 2], deep={'a': True, 'b': None})]"),
            R"(weather.get {"city":"Paris","days":[1,2],"deep":{"a":true,"b":null}})");
  EXPECT_EQ(Calls("f(a=-1.5, b=(1, 2), c=\"it's\", d=name)"),
            R"(f {"a":-1.5,"b":[1,2],"c":"it's","d":"name"})");
  EXPECT_EQ(Calls("```python\n[f(a=1), g()]\n```"), R"(f {"a":1}; g {})");
  EXPECT_EQ(Calls("f(a=1e3, b=1_000, c=.5, d=+2, e=(3), f_='a' 'b')"),
            R"(f {"a":1000.0,"b":1000,"c":0.5,"d":2,"e":3,"f_":"ab"})");
}

TEST(FunctionCalls, ProseAndOtherJsonAreNone) {
  EXPECT_EQ(Calls("None of the functions fits."), "");
  EXPECT_EQ(Calls("You could use math.sum(numbers) for this."), "");
  EXPECT_EQ(Calls("{\"answer\": 5}"), "");
  EXPECT_EQ(Calls("{\"name\": \"Anna\"}"), "");
  EXPECT_EQ(Calls("[]"), "");
  EXPECT_EQ(Calls("```python\nprint(1 + 2)\n```"), "");
  EXPECT_EQ(Calls("f(a=1"), "");
  EXPECT_EQ(Calls(std::string(5000, '[')), "");
  EXPECT_EQ(Calls("f(a=" + std::string(5000, '[') + ")"), "");
  EXPECT_EQ(Calls(""), "");
}

}  // namespace
}  // namespace hearth::eval
