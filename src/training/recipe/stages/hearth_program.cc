#include "training/recipe/stages/hearth_program.h"

#include "base/process.h"

namespace hearth::forge {
namespace {

// Progress bars and other controls of a terminal have no place in a log.
std::string WithoutControls(std::string_view text) {
  std::string plain;
  for (const char c : text)
    if (c == '\n' || static_cast<unsigned char>(c) >= ' ') plain += c;
  while (!plain.empty() && plain.back() == '\n') plain.pop_back();
  return plain;
}

std::optional<double> NumberOf(const nlohmann::ordered_json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

void AddFigures(const nlohmann::ordered_json& json, const std::string& name, int depth,
                std::vector<StageFigure>& figures) {
  constexpr int kMaxDepth = 8;
  if (json.is_number()) {
    figures.push_back({name, json.get<double>(), {}, {}, ""});
    return;
  }
  if (!json.is_object() || depth > kMaxDepth) return;
  if (const auto value = NumberOf(json, "value")) {
    figures.push_back({name, *value, NumberOf(json, "low"), NumberOf(json, "high"), ""});
    return;
  }
  for (const auto& [key, entry] : json.items())
    AddFigures(entry, name.empty() ? key : name + "." + key, depth + 1, figures);
}

}  // namespace

Result<nlohmann::ordered_json> RunHearth(const StageContext& context,
                                         const std::vector<std::string>& arguments,
                                         double timeout_s) {
  ProcessOptions options;
  HEARTH_ASSIGN_OR_RETURN(const std::string program, context.HearthProgram());
  options.command = {program};
  options.command.insert(options.command.end(), arguments.begin(), arguments.end());
  options.timeout_s = timeout_s;
  options.should_stop = [&context] { return context.cancelled(); };
  options.on_error_output = [&context](std::string_view text) {
    const std::string plain = WithoutControls(text);
    if (!plain.empty()) context.Log(plain);
  };
  std::string line = program;
  for (const std::string& argument : arguments) line += " " + argument;
  context.Log(line);
  HEARTH_ASSIGN_OR_RETURN(const ProcessOutcome outcome, RunProcess(options));
  if (outcome.stopped) return MakeError(ErrorCode::kCancelled, "stopped");
  if (!outcome.ok()) {
    return MakeError(ErrorCode::kUnavailable, "hearth " +
                                                  (arguments.empty() ? "" : arguments.front()) +
                                                  ": " + DescribeEnd(outcome, timeout_s));
  }
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(outcome.output, nullptr, false);
  if (!json.is_object()) {
    return MakeError(ErrorCode::kCorrupt, "hearth " + (arguments.empty() ? "" : arguments.front()) +
                                              " printed no JSON object");
  }
  return json;
}

std::vector<StageFigure> FiguresIn(const nlohmann::ordered_json& json) {
  std::vector<StageFigure> figures;
  AddFigures(json, "", 0, figures);
  return figures;
}

}  // namespace hearth::forge
