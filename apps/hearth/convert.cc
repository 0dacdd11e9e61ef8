// hearth convert: a GGUF file from a Hugging Face model folder.

#include "kit/convert.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <memory>
#include <string>

#include "apps/hearth/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"

namespace hearth {
namespace {

struct ConvertFlags {
  std::string input_dir, output_path, type;
  bool force = false, json = false;
};

int Convert(const ConvertFlags& flags) {
  ConvertOptions options;
  options.input_dir = flags.input_dir;
  options.output_path = flags.output_path;
  if (!flags.type.empty()) {
    std::string name = flags.type;
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
    if (name.starts_with("Q") && name.ends_with("_K_M"))
      return FailUsage("type \"" + flags.type + "\" is a mixture of types; name one, as q4_k");
    options.type = TensorTypeFromName(name);
    if (!options.type) return FailUsage("type \"" + flags.type + "\" is not known");
  }
  if (!flags.force && std::filesystem::exists(flags.output_path))
    return Fail(flags.output_path + " exists already; --force replaces it");
  ProgressBar bar("Converting");
  options.on_progress = [&](double done) { bar.Update(done); };
  const Status converted = ConvertHuggingFace(options);
  bar.Clear();
  if (!converted) return Fail(converted.error());
  const auto size_bytes = static_cast<int64_t>(std::filesystem::file_size(flags.output_path));
  if (flags.json) {
    PrintJson({{"path", flags.output_path}, {"size_bytes", size_bytes}});
  } else {
    Print(flags.output_path + " (" + Format("%.1f MB", static_cast<double>(size_bytes) * 1e-6) +
          ")\n");
  }
  return kExitOk;
}

}  // namespace

void AddConvert(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("convert", "Make a GGUF file from a Hugging Face model folder");
  const auto flags = std::make_shared<ConvertFlags>();
  command
      ->add_option("dir", flags->input_dir,
                   "Folder with config.json, safetensors and the tokenizer's files")
      ->required()
      ->type_name("DIR");
  command->add_option("out", flags->output_path, "The file to write")
      ->required()
      ->type_name("OUT.gguf");
  command
      ->add_option("--type", flags->type,
                   "Type of the matrices: f32, f16, bf16, q8_0, q4_k, ...; else as they are stored")
      ->type_name("TYPE");
  command->add_flag("-f,--force", flags->force, "Replace an existing file");
  command->add_flag("--json", flags->json, "One JSON object at the end");
  AddExamples(*command,
              "  hearth convert all-MiniLM-L6-v2/ all-MiniLM-L6-v2.gguf\n"
              "  hearth convert Qwen2.5-0.5B-Instruct/ qwen2.5-0.5b.gguf --type q8_0");
  command->callback([&action, flags] { action = [flags] { return Convert(*flags); }; });
}

}  // namespace hearth
