// What a recipe gets from outside: its file, the environment's variables, keys given on the command
// line.

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "training/recipe/recipe.h"

namespace hearth::forge {
namespace {

std::optional<std::string> VariableOfEnvironment(std::string_view name) {
  const auto get = [](const char* variable) -> std::optional<std::string> {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return std::string(value);
  };
  if (name == "HOME") return get("HOME");
  if (name == "HEARTH_DATA") return get("HEARTH_DATA");
  if (name != "HEARTH_MODELS") return std::nullopt;
  if (auto models = get("HEARTH_MODELS")) return models;
  const auto home = get("HOME");
  return home ? std::optional(*home + "/.cache/hearth-models") : std::nullopt;
}

}  // namespace

Status OverrideKey(YamlNode& root, const std::string& text) {
  const size_t equals = text.find('=');
  const auto wrong = [&](const std::string& what) {
    return MakeError(ErrorCode::kInvalidArgument, "--set " + text + ": " + what);
  };
  if (equals == std::string::npos || equals == 0) return wrong("write STAGE.KEY=VALUE");
  const std::string name = text.substr(0, equals);
  Result<YamlNode> value = ReadYaml(text.substr(equals + 1));
  if (!value) return wrong(value.error().message);
  YamlNode* mapping = &root;
  std::string key = name;
  if (const size_t dot = name.find('.'); dot != std::string::npos) {
    key = name.substr(dot + 1);
    mapping = nullptr;
    for (YamlNode& item : root.items) {
      if (item.key != "stages") continue;
      for (YamlNode& stage : item.items) {
        const YamlNode* stage_name = stage.Find("name");
        if (stage_name != nullptr && stage_name->scalar == name.substr(0, dot)) mapping = &stage;
      }
    }
    if (mapping == nullptr || !mapping->is_mapping())
      return wrong("there is no stage " + name.substr(0, dot));
  }
  value->key = key;
  value->line = value->key_line = mapping->line;
  for (YamlNode& item : mapping->items) {
    if (item.key != key) continue;
    value->line = item.line;
    item = *std::move(value);
    return {};
  }
  mapping->items.push_back(*std::move(value));
  return {};
}

Result<Recipe> LoadRecipe(const std::string& path, const StageKinds& kinds,
                          const std::vector<std::string>& overrides) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    return MakeError(ErrorCode::kNotFound, path + " is no file");
  std::ifstream file(path, std::ios::binary);
  if (!file) return MakeError(ErrorCode::kPermission, path + " cannot be read");
  // One byte more than a recipe may have: ReadYaml then says so.
  std::string text(YamlLimits{}.max_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  RecipeOptions options;
  options.folder = std::filesystem::path(path).parent_path().string();
  if (options.folder.empty()) options.folder = ".";
  const std::string stem = std::filesystem::path(path).stem().string();
  options.default_name = IsRunName(stem) ? stem : "recipe";
  options.variable = VariableOfEnvironment;
  options.overrides = overrides;
  Result<Recipe> recipe = ParseRecipe(text, kinds, options);
  if (!recipe) return MakeError(recipe.error().code, path + ": " + recipe.error().message);
  recipe->path = path;
  return recipe;
}

}  // namespace hearth::forge
