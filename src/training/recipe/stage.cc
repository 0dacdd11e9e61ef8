#include "training/recipe/stage.h"

#include <algorithm>

#include "base/check.h"

namespace hearth::forge {

const KeySpec* StageDeclaration::FindKey(std::string_view key) const {
  const auto found = std::ranges::find(keys, key, &KeySpec::name);
  return found == keys.end() ? nullptr : &*found;
}

const OutputSpec* StageDeclaration::FindOutput(std::string_view output) const {
  const auto found = std::ranges::find(outputs, output, &OutputSpec::name);
  return found == outputs.end() ? nullptr : &*found;
}

const std::string& StageContext::Input(std::string_view key) const {
  HEARTH_CHECK(HasInput(key));
  return Inputs(key).front();
}

const std::vector<std::string>& StageContext::Inputs(std::string_view key) const {
  static const std::vector<std::string> none;
  const KeySpec* spec = options_.declaration->FindKey(key);
  HEARTH_CHECK(spec != nullptr && spec->is_input());
  const auto found = options_.inputs.find(key);
  return found == options_.inputs.end() ? none : found->second;
}

std::string StageContext::Output(std::string_view name) const {
  const OutputSpec* output = options_.declaration->FindOutput(name);
  HEARTH_CHECK(output != nullptr);
  return options_.output_folder + "/" + output->file;
}

Result<std::string> StageContext::HearthProgram() const {
  if (!options_.hearth_program.empty()) return options_.hearth_program;
  return MakeError(
      ErrorCode::kNotFound,
      "the program hearth is neither beside hearth-forge nor in PATH; build it, or name "
      "it with --hearth");
}

void StageContext::Progress(double done, std::string_view what) const {
  if (options_.on_progress) options_.on_progress(std::clamp(done, 0.0, 1.0), what);
}

void StageContext::Log(std::string_view line) const {
  if (options_.on_log) options_.on_log(line);
}

const StageKind* FindKind(const StageKinds& kinds, std::string_view name) {
  for (const StageKind* kind : kinds)
    if (kind->declaration().name == name) return kind;
  return nullptr;
}

}  // namespace hearth::forge
