#include "training/recipe/recipe.h"

#include <algorithm>
#include <filesystem>

#include "base/check.h"
#include "training/recipe/nearest_name.h"

namespace hearth::forge {
namespace {

constexpr size_t kMaxNameBytes = 60;
constexpr size_t kMaxStages = 200;

// Keys that every stage has beside its kind's.
const std::vector<std::string>& StageKeys() {
  static const std::vector<std::string> keys = {"name", "kind", "output_dir"};
  return keys;
}

tl::unexpected<Error> ErrorAt(int line, const std::string& what) {
  return MakeError(ErrorCode::kInvalidArgument, "line " + std::to_string(line) + ": " + what);
}

const std::vector<KeySpec>& RecipeKeys() {
  static const std::vector<KeySpec> keys = {
      KeySpec::String("name", "Name of the run"),
      KeySpec::String("description", "What it is for"),
      KeySpec::Int("seed", "For every stage that gives none").Default(1).Range(0, 1LL << 53),
  };
  return keys;
}

const std::vector<KeySpec>& FileKeys() {
  static const std::vector<KeySpec> keys = {
      KeySpec::String("path", "Where it lies").Required(),
      KeySpec::String("licence", "Its licence, for the report"),
      KeySpec::String("source", "Where it is from, for the report"),
      KeySpec::String("sha256", "What its bytes must be"),
  };
  return keys;
}

const std::vector<KeySpec>& TargetKeys() {
  static const std::vector<KeySpec> keys = {
      KeySpec::String("figure", "STAGE.NAME").Required(),
      KeySpec::Float("at_least", "Reached from here on"),
      KeySpec::Float("at_most", "Reached down from here"),
      KeySpec::String("note", "A word for the report"),
  };
  return keys;
}

Status CheckName(std::string_view what, const YamlNode& node, std::string_view name) {
  if (IsRecipeName(name)) return {};
  return ErrorAt(node.line, std::string(what) + " must be letters, digits, _ and -, at most " +
                                std::to_string(kMaxNameBytes) + ", is " + DescribeNode(node));
}

std::string TextOf(const Parameters& parameters, std::string_view key) {
  return parameters.Has(key) ? parameters.String(key) : "";
}

class Parser {
 public:
  Parser(const StageKinds& kinds, const RecipeOptions& options)
      : kinds_(kinds), options_(options) {}

  Result<Recipe> Parse(const YamlNode& root) {
    HEARTH_ASSIGN_OR_RETURN(
        const Parameters own,
        ReadParameters(root, RecipeKeys(), {"files", "stages", "targets"}, "a recipe"));
    recipe_.name = own.Has("name") ? own.String("name") : options_.default_name;
    if (!IsRunName(recipe_.name)) {
      return ErrorAt(own.LineOf("name"), "name must be letters, digits, _, - and ., at most " +
                                             std::to_string(kMaxNameBytes) + ", is " +
                                             recipe_.name.substr(0, 2 * kMaxNameBytes));
    }
    recipe_.description = TextOf(own, "description");
    seed_ = own.Int("seed");
    HEARTH_RETURN_IF_ERROR(ReadFiles(root));
    HEARTH_RETURN_IF_ERROR(ReadStages(root));
    for (RecipeStage& stage : recipe_.stages) HEARTH_RETURN_IF_ERROR(ResolveInputs(stage));
    HEARTH_RETURN_IF_ERROR(Sort());
    HEARTH_RETURN_IF_ERROR(ReadTargets(root));
    return std::move(recipe_);
  }

 private:
  Status ReadFiles(const YamlNode& root) {
    const YamlNode* files = root.Find("files");
    if (files == nullptr || files->is_null()) return {};
    if (!files->is_mapping()) {
      return ErrorAt(files->line,
                     "files must be a mapping of names to paths, is " + DescribeNode(*files));
    }
    for (const YamlNode& item : files->items) {
      RecipeFile file;
      file.name = item.key;
      file.line = item.line;
      if (!IsRecipeName(item.key)) {
        return ErrorAt(item.key_line,
                       "the name of a file must be letters, digits, _ and -, is " + item.key);
      }
      if (item.is_scalar() && !item.scalar.empty()) {
        HEARTH_ASSIGN_OR_RETURN(file.path, FillPath(item.scalar, item.line));
      } else if (item.is_mapping()) {
        HEARTH_ASSIGN_OR_RETURN(const Parameters keys,
                                ReadParameters(item, FileKeys(), {}, "the file " + item.key));
        HEARTH_ASSIGN_OR_RETURN(file.path, FillPath(keys.String("path"), keys.LineOf("path")));
        file.licence = TextOf(keys, "licence");
        file.source = TextOf(keys, "source");
        file.sha256 = TextOf(keys, "sha256");
        const bool hash = file.sha256.size() == 64 &&
                          file.sha256.find_first_not_of("0123456789abcdef") == std::string::npos;
        if (!file.sha256.empty() && !hash) {
          return ErrorAt(keys.LineOf("sha256"),
                         "sha256 must be 64 digits 0-9 a-f, is " + file.sha256.substr(0, 80));
        }
      } else {
        return ErrorAt(item.line, "files." + item.key + " must be a path or {path: ...}, is " +
                                      DescribeNode(item));
      }
      recipe_.files.push_back(std::move(file));
    }
    return {};
  }

  // ${NAME} -> its value, ~ -> HOME, relative -> below the recipe's folder.
  Result<std::string> FillPath(std::string_view written, int line) const {
    std::string path;
    std::string_view rest = written;
    if (rest == "~" || rest.starts_with("~/")) {
      HEARTH_ASSIGN_OR_RETURN(path, Variable("HOME", line));
      rest.remove_prefix(1);
    }
    while (!rest.empty()) {
      const size_t begin = rest.find("${");
      path += rest.substr(0, begin);
      if (begin == std::string_view::npos) break;
      const size_t end = rest.find('}', begin);
      if (end == std::string_view::npos)
        return ErrorAt(line, std::string(written) + " has a ${ without its }");
      HEARTH_ASSIGN_OR_RETURN(const std::string value,
                              Variable(rest.substr(begin + 2, end - begin - 2), line));
      path += value;
      rest.remove_prefix(end + 1);
    }
    if (path.empty()) return ErrorAt(line, "a path is empty");
    const std::filesystem::path full = std::filesystem::path(options_.folder) / path;
    return full.lexically_normal().string();
  }

  Result<std::string> Variable(std::string_view name, int line) const {
    auto value = options_.variable ? options_.variable(name) : std::nullopt;
    if (value) return *std::move(value);
    return ErrorAt(line, "${" + std::string(name) +
                             "} is not set; a path may use HEARTH_DATA, HEARTH_MODELS and HOME");
  }

  Status ReadStages(const YamlNode& root) {
    const YamlNode* stages = root.Find("stages");
    if (stages == nullptr || !stages->is_sequence() || stages->items.empty()) {
      return ErrorAt(stages == nullptr ? root.line : stages->line,
                     "a recipe needs stages: a list of {name: ..., kind: ..., ...}");
    }
    if (stages->items.size() > kMaxStages) {
      return ErrorAt(stages->line, std::to_string(stages->items.size()) +
                                       " stages; a recipe has at most " +
                                       std::to_string(kMaxStages));
    }
    for (const YamlNode& node : stages->items) HEARTH_RETURN_IF_ERROR(ReadStage(node));
    return {};
  }

  Status ReadStage(const YamlNode& node) {
    if (!node.is_mapping())
      return ErrorAt(node.line, "a stage must be a mapping, is " + DescribeNode(node));
    RecipeStage stage;
    stage.line = node.line;
    const YamlNode* kind = node.Find("kind");
    if (kind == nullptr || !kind->is_scalar())
      return ErrorAt(node.line, "a stage needs its kind: one of " + KindNames());
    stage.kind = FindKind(kinds_, kind->scalar);
    if (stage.kind == nullptr) {
      std::vector<std::string> names;
      for (const StageKind* known : kinds_) names.push_back(known->declaration().name);
      return ErrorAt(kind->line, "unknown kind " + DescribeNode(*kind) +
                                     NearestHint(kind->scalar, names) + " (there are " +
                                     KindNames() + ")");
    }
    const YamlNode* name = node.Find("name");
    if (name == nullptr || !name->is_scalar()) return ErrorAt(node.line, "a stage needs its name");
    HEARTH_RETURN_IF_ERROR(CheckName("the name of a stage", *name, name->scalar));
    stage.name = name->scalar;
    if (const int other = recipe_.FindStage(stage.name); other >= 0) {
      return ErrorAt(name->line, "two stages are called " + stage.name + "; the other is in line " +
                                     std::to_string(recipe_.stages[other].line));
    }
    for (const RecipeFile& file : recipe_.files) {
      if (file.name == stage.name) {
        return ErrorAt(name->line, "a stage and a file are both called " + stage.name +
                                       "; the file is in line " + std::to_string(file.line));
      }
    }
    const YamlNode* output_dir = node.Find("output_dir");
    if (output_dir != nullptr && !output_dir->is_null()) {
      if (!output_dir->is_scalar()) {
        return ErrorAt(output_dir->line,
                       "output_dir must be a folder, is " + DescribeNode(*output_dir));
      }
      HEARTH_ASSIGN_OR_RETURN(stage.output_dir, FillPath(output_dir->scalar, output_dir->line));
    }
    const StageDeclaration& declaration = stage.declaration();
    HEARTH_ASSIGN_OR_RETURN(
        stage.parameters,
        ReadParameters(node, declaration.keys, StageKeys(), "a stage of kind " + declaration.name));
    if (declaration.FindKey("seed") != nullptr && node.Find("seed") == nullptr)
      stage.parameters.Set("seed", seed_);
    if (declaration.check) {
      if (const Status checked = declaration.check(stage.parameters); !checked)
        return ErrorAt(stage.line, "stage " + stage.name + ": " + checked.error().message);
    }
    recipe_.stages.push_back(std::move(stage));
    return {};
  }

  std::string KindNames() const {
    std::string names;
    for (const StageKind* kind : kinds_)
      names += (names.empty() ? "" : ", ") + kind->declaration().name;
    return names;
  }

  Status ResolveInputs(RecipeStage& stage) {
    for (const KeySpec& key : stage.declaration().keys) {
      if (!key.is_input() || !stage.parameters.Has(key.name)) continue;
      std::vector<std::string> written;
      if (key.type == KeyType::kInput) {
        written = {stage.parameters.String(key.name)};
      } else if (key.type == KeyType::kInputs) {
        written = stage.parameters.Strings(key.name);
      } else {
        for (const DatasetEntry& entry : stage.parameters.Datasets(key.name))
          written.push_back(entry.path);
      }
      for (const std::string& reference : written) {
        HEARTH_ASSIGN_OR_RETURN(RecipeInput input,
                                Resolve(reference, key, stage.parameters.LineOf(key.name)));
        stage.inputs.push_back(std::move(input));
      }
    }
    return {};
  }

  Result<RecipeInput> Resolve(const std::string& written, const KeySpec& key, int line) {
    RecipeInput input;
    input.key = key.name;
    input.written = written;
    input.line = line;
    const size_t dot = written.find('.');
    input.stage = recipe_.FindStage(std::string_view(written).substr(0, dot));
    if (input.stage >= 0) {
      const StageDeclaration& from = recipe_.stages[input.stage].declaration();
      HEARTH_CHECK(!from.outputs.empty());
      const OutputSpec* output = dot == std::string::npos
                                     ? &from.outputs.front()
                                     : from.FindOutput(written.substr(dot + 1));
      std::vector<std::string> names;
      for (const OutputSpec& known : from.outputs) names.push_back(known.name);
      if (output == nullptr) {
        return ErrorAt(line, key.name + ": the stage " + written.substr(0, dot) +
                                 " has no output " + written.substr(dot + 1) +
                                 NearestHint(written.substr(dot + 1), names));
      }
      if (!key.contents.empty() &&
          std::ranges::find(key.contents, output->content) == key.contents.end()) {
        return ErrorAt(line, key.name + " must be " + DescribeType(key) + "; " + written + " is " +
                                 output->content);
      }
      input.output = output->name;
      return input;
    }
    for (size_t file = 0; file < recipe_.files.size(); ++file)
      if (recipe_.files[file].name == written) input.file = static_cast<int>(file);
    if (input.file >= 0) return input;
    if (written.find_first_of("./~$") == std::string::npos) {
      return ErrorAt(line, key.name + ": there is no stage and no file called " + written +
                               NearestHint(written, KnownNames()) +
                               " (a path has a dot or a slash: ./" + written + ")");
    }
    RecipeFile file;
    file.line = line;
    HEARTH_ASSIGN_OR_RETURN(file.path, FillPath(written, line));
    for (size_t known = 0; known < recipe_.files.size(); ++known)
      if (recipe_.files[known].path == file.path) input.file = static_cast<int>(known);
    if (input.file < 0) {
      input.file = static_cast<int>(recipe_.files.size());
      recipe_.files.push_back(std::move(file));
    }
    return input;
  }

  std::vector<std::string> KnownNames() const {
    std::vector<std::string> names;
    for (const RecipeStage& stage : recipe_.stages) names.push_back(stage.name);
    for (const RecipeFile& file : recipe_.files)
      if (!file.name.empty()) names.push_back(file.name);
    return names;
  }

  // Puts every stage behind those it reads from, else in the order written.
  Status Sort() {
    const size_t num_stages = recipe_.stages.size();
    std::vector<int> order;
    std::vector<bool> placed(num_stages, false);
    while (order.size() < num_stages) {
      const size_t before = order.size();
      for (size_t stage = 0; stage < num_stages; ++stage) {
        const auto ready = [&](const RecipeInput& input) {
          return input.stage < 0 || placed[input.stage];
        };
        if (placed[stage] || !std::ranges::all_of(recipe_.stages[stage].inputs, ready)) continue;
        placed[stage] = true;
        order.push_back(static_cast<int>(stage));
        break;
      }
      if (order.size() == before) return CycleError(placed);
    }
    std::vector<int> place(num_stages);
    std::vector<RecipeStage> sorted;
    for (const int stage : order) {
      place[stage] = static_cast<int>(sorted.size());
      sorted.push_back(std::move(recipe_.stages[stage]));
    }
    for (RecipeStage& stage : sorted)
      for (RecipeInput& input : stage.inputs)
        if (input.stage >= 0) input.stage = place[input.stage];
    recipe_.stages = std::move(sorted);
    return {};
  }

  // Follows inputs that could not be placed until a stage comes again.
  Status CycleError(const std::vector<bool>& placed) const {
    int stage = static_cast<int>(std::ranges::find(placed, false) - placed.begin());
    std::vector<int> path;
    while (std::ranges::find(path, stage) == path.end()) {
      path.push_back(stage);
      for (const RecipeInput& input : recipe_.stages[stage].inputs) {
        if (input.stage < 0 || placed[input.stage]) continue;
        stage = input.stage;
        break;
      }
    }
    std::string text = recipe_.stages[stage].name;
    for (size_t i = std::ranges::find(path, stage) - path.begin() + 1; i < path.size(); ++i)
      text += " reads from " + recipe_.stages[path[i]].name + ", which";
    return ErrorAt(recipe_.stages[stage].line, "stages read from each other in a circle: " + text +
                                                   " reads from " + recipe_.stages[stage].name);
  }

  Status ReadTargets(const YamlNode& root) {
    const YamlNode* targets = root.Find("targets");
    if (targets == nullptr || targets->is_null()) return {};
    if (!targets->is_sequence()) {
      return ErrorAt(targets->line,
                     "targets must be a list of {figure: STAGE.NAME, at_least: X}, is " +
                         DescribeNode(*targets));
    }
    for (const YamlNode& node : targets->items) {
      if (!node.is_mapping())
        return ErrorAt(node.line, "a target must be a mapping, is " + DescribeNode(node));
      HEARTH_ASSIGN_OR_RETURN(const Parameters keys,
                              ReadParameters(node, TargetKeys(), {}, "a target"));
      RecipeTarget target;
      target.line = node.line;
      target.figure = keys.String("figure");
      target.note = TextOf(keys, "note");
      if (keys.Has("at_least")) target.at_least = keys.Float("at_least");
      if (keys.Has("at_most")) target.at_most = keys.Float("at_most");
      if (!target.at_least && !target.at_most)
        return ErrorAt(node.line, "the target " + target.figure + " needs at_least or at_most");
      const size_t dot = target.figure.find('.');
      const std::string stage = target.figure.substr(0, dot);
      if (dot == std::string::npos || recipe_.FindStage(stage) < 0) {
        std::vector<std::string> names;
        for (const RecipeStage& known : recipe_.stages) names.push_back(known.name);
        return ErrorAt(keys.LineOf("figure"), "figure must be STAGE.NAME of a stage here, is " +
                                                  target.figure + NearestHint(stage, names));
      }
      recipe_.targets.push_back(std::move(target));
    }
    return {};
  }

  const StageKinds& kinds_;
  const RecipeOptions& options_;
  Recipe recipe_;
  int64_t seed_ = 1;
};

}  // namespace

bool IsRecipeName(std::string_view name) {
  const auto ok = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  return !name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, ok);
}

bool IsRunName(std::string_view name) {
  std::string without_dots(name);
  std::ranges::replace(without_dots, '.', '_');
  return IsRecipeName(without_dots) && name.front() != '.';
}

int Recipe::FindStage(std::string_view stage) const {
  for (size_t i = 0; i < stages.size(); ++i)
    if (stages[i].name == stage) return static_cast<int>(i);
  return -1;
}

Result<Recipe> ParseRecipe(std::string_view text, const StageKinds& kinds,
                           const RecipeOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(YamlNode root, ReadYaml(text));
  if (!root.is_mapping()) {
    return ErrorAt(root.line,
                   "a recipe is a mapping with the key stages, this is " + DescribeNode(root));
  }
  for (const std::string& text_of_override : options.overrides)
    HEARTH_RETURN_IF_ERROR(OverrideKey(root, text_of_override));
  HEARTH_ASSIGN_OR_RETURN(Recipe recipe, Parser(kinds, options).Parse(root));
  recipe.text = text;
  recipe.overrides = options.overrides;
  return recipe;
}

}  // namespace hearth::forge
