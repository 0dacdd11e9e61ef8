#include "comparison/llama_bench.h"

#include <nlohmann/json.hpp>

#include "comparison/spread.h"

namespace hearth {
namespace {

using Json = nlohmann::json;

std::string Joined(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

int Integer(const Json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_number_integer() ? found->get<int>() : 0;
}

double SpeedOf(const Json& row) {
  std::vector<double> samples;
  if (const auto found = row.find("samples_ts"); found != row.end() && found->is_array()) {
    for (const Json& sample : *found) {
      if (sample.is_number()) samples.push_back(sample.get<double>());
    }
  }
  if (samples.empty()) {
    if (const auto found = row.find("avg_ts"); found != row.end() && found->is_number())
      samples.push_back(found->get<double>());
  }
  return samples.empty() ? 0 : SpreadOf(std::move(samples)).median;
}

}  // namespace

std::string PeerSetting::Name(bool knows_repack) const {
  return (knows_repack ? std::string("repack ") + (repack ? "1" : "0") + ", " : std::string()) +
         "flash attention " + (flash_attention ? "on" : "off");
}

std::vector<std::string> LlamaBenchArguments(const PeerCommand& command) {
  std::vector<std::string> arguments = {
      "-m", command.model, "-t", std::to_string(command.threads), "-r",
      std::to_string(command.repetitions), "-o", "jsonl",
      // 0 and 1 are understood by releases old and new, "on" and "off" are not.
      "-fa", command.setting.flash_attention ? "1" : "0", "-p",
      command.prompts.empty() ? "0" : Joined(command.prompts), "-n",
      std::to_string(command.num_generated)};
  const auto add = [&arguments](std::initializer_list<std::string> more) {
    arguments.insert(arguments.end(), more);
  };
  if (command.knows_repack) add({"--repack", command.setting.repack ? "1" : "0"});
  if (command.kv_type != "f16") add({"-ctk", command.kv_type, "-ctv", command.kv_type});
  if (command.depths != std::vector<int>{0}) add({"-d", Joined(command.depths)});
  return arguments;
}

PeerRun ParseLlamaBench(std::string_view output) {
  PeerRun run;
  while (!output.empty()) {
    const size_t end = std::min(output.find('\n'), output.size());
    const Json row = Json::parse(output.substr(0, end), nullptr, /*allow_exceptions=*/false);
    output.remove_prefix(std::min(end + 1, output.size()));
    if (!row.is_object()) continue;
    const PeerTest test{Integer(row, "n_prompt"), Integer(row, "n_gen"), Integer(row, "n_depth")};
    const double speed = SpeedOf(row);
    if (speed > 0) run.tokens_per_second[test] = speed;
    if (const auto build = row.find("build_commit"); build != row.end() && build->is_string())
      run.build = build->get<std::string>();
  }
  return run;
}

std::string PeerKvType(const std::string& kv_type) {
  if (kv_type == "f16") return "f16";
  if (kv_type == "int8") return "q8_0";
  if (kv_type == "int4") return "q4_0";
  return "";
}

}  // namespace hearth
