#pragma once
// A recipe: one YAML file that says how to get from files to artifacts, as a graph of stages.
//
//   name: coder-draft-head
//   seed: 1
//   files:
//     base: {path: ${HEARTH_MODELS}/coder.gguf, licence: Apache-2.0}
//   stages:
//     - name: answers
//       kind: generate
//       base_model: base
//       prompts: prompts/code.jsonl
//     - name: head
//       kind: draft_head
//       base_model: base
//       datasets: [{path: answers.rows}]
//   targets:
//     - {figure: head.tokens_per_verification, at_least: 2.6}
//
// An input is the name of another stage (its first output), STAGE.OUTPUT, the name of an entry of
// `files`, or a path. docs/recipes.md is the whole description. Pure but for LoadRecipe; recipes
// are not trusted.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "training/recipe/stage.h"
#include "training/recipe/yaml_reader.h"

namespace hearth::forge {

struct RecipeFile {
  std::string name;  // "" for a path that stands where it is used
  std::string path;  // with variables and the recipe's folder filled in
  std::string licence;
  std::string source;  // where it is from, for the report
  std::string sha256;  // what it must be; "" where anything goes
  int line = 1;
};

// What an input of a stage names: an output of another, or a file.
struct RecipeInput {
  std::string key;
  std::string written;
  int stage = -1;  // place in Recipe::stages
  std::string output;
  int file = -1;  // place in Recipe::files
  int line = 1;
};

struct RecipeStage {
  std::string name;
  const StageKind* kind = nullptr;
  Parameters parameters;
  std::vector<RecipeInput> inputs;
  std::string output_dir;  // gets a copy of the outputs; "" for none
  int line = 1;

  const StageDeclaration& declaration() const { return kind->declaration(); }
};

// A figure that the run is for.
struct RecipeTarget {
  std::string figure;  // STAGE.NAME
  std::optional<double> at_least, at_most;
  std::string note;
  int line = 1;
};

struct Recipe {
  std::string name;
  std::string description;
  std::string path;  // of the file; "" where there is none
  std::string text;
  std::vector<std::string> overrides;  // STAGE.KEY=VALUE, as applied
  std::vector<RecipeFile> files;
  std::vector<RecipeStage> stages;  // every stage stands behind those it reads from
  std::vector<RecipeTarget> targets;

  // Place of a stage, or -1.
  int FindStage(std::string_view stage) const;
};

struct RecipeOptions {
  std::string folder = ".";             // relative paths begin here
  std::string default_name = "recipe";  // for one that gives none
  // What ${NAME} in a path stands for; nothing: no such variable.
  std::function<std::optional<std::string>(std::string_view name)> variable;
  std::vector<std::string> overrides;  // STAGE.KEY=VALUE, or KEY=VALUE of the recipe itself
};

// Letters, digits, _ and -, at most 60: what stages and files may be called.
bool IsRecipeName(std::string_view name);
// What a recipe may be called: dots too, but not the first letter.
bool IsRunName(std::string_view name);

// Puts STAGE.KEY=VALUE (or KEY=VALUE), VALUE as YAML, into the tree as if it stood in the file.
// Errors begin "--set TEXT: ".
Status OverrideKey(YamlNode& root, const std::string& text);

// Errors name line, key and value, and the nearest known name.
Result<Recipe> ParseRecipe(std::string_view text, const StageKinds& kinds,
                           const RecipeOptions& options);

// Reads the file; errors begin with its path. Variables are HEARTH_DATA, HEARTH_MODELS and HOME of
// the environment.
Result<Recipe> LoadRecipe(const std::string& path, const StageKinds& kinds,
                          const std::vector<std::string>& overrides);

}  // namespace hearth::forge
