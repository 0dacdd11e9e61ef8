// Our rendering of chat templates against transformers', byte for byte
// (tests/golden/chat_template).

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "runtime/chat_template/chat_template.h"

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;

const std::string kFolder = "tests/golden/chat_template/";

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

const Json& Goldens() {
  static const Json goldens = Json::parse(ReadFile(kFolder + "goldens.json"));
  return goldens;
}

jinja::Value ToValue(const Json& json) {
  if (json.is_boolean()) return jinja::Value(json.get<bool>());
  if (json.is_number_integer()) return jinja::Value(json.get<int64_t>());
  if (json.is_number()) return jinja::Value(json.get<double>());
  if (json.is_string()) return jinja::Value::Input(json.get<std::string>());
  if (json.is_array()) {
    jinja::Array items;
    for (const Json& item : json) items.push_back(ToValue(item));
    return jinja::Value(std::move(items));
  }
  if (json.is_object()) {
    jinja::Object entries;
    for (const auto& [key, value] : json.items()) entries.emplace_back(key, ToValue(value));
    return jinja::Value(entries);
  }
  return jinja::Value(jinja::None{});
}

// {"output": ...} or {"error": ...}, as make_golden.py writes it.
void Expect(const Json& golden, const std::string& source, const jinja::Object& context) {
  const auto now = [] { return Goldens()["now"].get<int64_t>(); };
  const auto parsed = ChatTemplate::Parse(source);
  const Result<jinja::Text> text =
      parsed ? parsed->Render(context, now) : tl::unexpected(parsed.error());
  if (golden.contains("output")) {
    ASSERT_TRUE(text) << text.error().message;
    EXPECT_EQ(text->str(), golden["output"].get<std::string>());
    return;
  }
  ASSERT_FALSE(text) << "rendered: " << text->str();
  const std::string expected = golden["error"];
  if (expected.empty()) return;
  EXPECT_EQ(text.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(text.error().message, expected);
}

class ChatTemplateGolden : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    setenv("TZ", "UTC", 1);
    tzset();
  }
};

TEST_F(ChatTemplateGolden, ModelsTemplates) {
  std::map<std::string, std::string> sources;
  for (const Json& golden : Goldens()["templates"]) {
    const std::string name = golden["template"], conversation = golden["conversation"];
    SCOPED_TRACE(name + ", " + conversation);
    auto [source, is_new] = sources.try_emplace(name);
    if (is_new) source->second = ReadFile(kFolder + "templates/" + name);
    jinja::Object context = {{"tools", jinja::Value(jinja::None{})},
                             {"documents", jinja::Value(jinja::None{})}};
    const auto set = [&](const std::string& key, jinja::Value value) {
      for (auto& [known, old_value] : context) {
        if (known == key) {
          old_value = std::move(value);
          return;
        }
      }
      context.emplace_back(key, std::move(value));
    };
    set("add_generation_prompt", jinja::Value(true));
    for (const auto& [key, value] : Goldens()["tokens"].items())
      set(key, jinja::Value(value.get<std::string>()));
    for (const auto& [key, value] : Goldens()["conversations"][conversation].items())
      set(key, ToValue(value));
    Expect(golden, source->second, context);
  }
  EXPECT_GE(sources.size(), 12u);
}

TEST_F(ChatTemplateGolden, Snippets) {
  for (const Json& golden : Goldens()["snippets"]) {
    const std::string source = golden["source"];
    SCOPED_TRACE(source);
    Expect(golden, source, {});
  }
}

}  // namespace
}  // namespace hearth
