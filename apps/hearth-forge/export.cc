// hearth-forge export: a model or an adapter in another format.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <memory>
#include <string>

#include "apps/hearth-forge/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"
#include "runtime/gguf/gguf.h"
#include "training/export/adapter.h"
#include "training/export/save_model.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;

struct ExportFlags {
  std::string model, adapter, format, type, head_type, output, base_name, name;
  double max_file_gb = 5;
  bool merge = false, force = false, json = false;
};

struct Exported {
  std::vector<std::string> files;  // paths
  std::vector<std::string> notes;
};

bool IsAdapterFormat(const std::string& format) {
  return format == "peft" || format == "gguf-adapter";
}
bool IsFolderFormat(const std::string& format) {
  return format == "peft" || format == "safetensors";
}

Result<std::optional<TensorType>> ParseType(const std::string& flag, const std::string& text) {
  if (text.empty()) return std::nullopt;
  std::string name = text;
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
  const auto type = TensorTypeFromName(name);
  if (type) return type;
  return MakeError(
      ErrorCode::kInvalidArgument,
      flag + " " + text +
          (name.find("_K_") != std::string::npos ? " is a mixture of types; name one, as q4_k"
                                                 : " is not known"));
}

Result<DecoderConfig> ConfigOf(const std::string& model) {
  if (fs::is_directory(model)) return ConfigFromFolder(model);
  HEARTH_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(model));
  return ConfigFromGguf(file);
}

Result<Exported> ExportAdapter(const ExportFlags& flags, std::optional<TensorType> type) {
  HEARTH_ASSIGN_OR_RETURN(const DecoderConfig config, ConfigOf(flags.model));
  HEARTH_ASSIGN_OR_RETURN(Adapter adapter, ReadPeftAdapter(flags.adapter, config));
  if (!flags.base_name.empty()) adapter.base_model = flags.base_name;
  const AdapterSaveOptions options{type.value_or(TensorType::kF32)};
  if (flags.format == "peft") {
    HEARTH_RETURN_IF_ERROR(SavePeftAdapter(adapter, flags.output, options));
    return Exported{
        {flags.output + "/adapter_config.json", flags.output + "/adapter_model.safetensors"}, {}};
  }
  const std::string name =
      !flags.name.empty() ? flags.name : fs::weakly_canonical(flags.adapter).filename().string();
  HEARTH_RETURN_IF_ERROR(SaveGgufAdapter(adapter, config, flags.output, name, options));
  return Exported{{flags.output}, {}};
}

Result<Exported> ExportModel(const ExportFlags& flags, std::optional<TensorType> type,
                             std::optional<TensorType> head_type, ProgressBar& bar) {
  HEARTH_ASSIGN_OR_RETURN(Decoder decoder, Decoder::Load(flags.model, {}));
  if (flags.merge) {
    HEARTH_RETURN_IF_ERROR(LoadPeftAdapter(decoder, flags.adapter).map([](const auto&) {}));
    if (!decoder.lora()->invocation_tokens.empty())
      return MakeError(ErrorCode::kInvalidArgument,
                       flags.adapter +
                           " is an activated adapter: it works behind its invocation "
                           "alone and cannot be merged");
    decoder.MergeLora();
  }
  const auto on_progress = [&bar](double done) { bar.Update(done); };
  if (flags.format == "gguf") {
    HEARTH_RETURN_IF_ERROR(
        SaveGguf(decoder, flags.model, flags.output, {type, head_type, on_progress}));
    return Exported{{flags.output}, {}};
  }
  FolderSaveOptions options;
  options.type = type.value_or(TensorType::kBF16);
  options.max_file_bytes = static_cast<uint64_t>(flags.max_file_gb * 1e9);
  options.on_progress = on_progress;
  HEARTH_ASSIGN_OR_RETURN(const SavedFolder saved,
                          SaveFolder(decoder, flags.model, flags.output, options));
  Exported exported;
  for (const std::string& name : saved.files) exported.files.push_back(flags.output + "/" + name);
  exported.notes = saved.notes;
  return exported;
}

int CheckUsage(const ExportFlags& flags) {
  if (IsAdapterFormat(flags.format)) {
    if (flags.adapter.empty()) return FailUsage("--format " + flags.format + " needs --adapter");
    if (flags.merge) return FailUsage("--merge makes a model: --format gguf or safetensors");
  } else {
    if (flags.merge && flags.adapter.empty()) return FailUsage("--merge needs --adapter");
    if (!flags.merge && !flags.adapter.empty())
      return FailUsage("--adapter goes with --merge, or with --format peft or gguf-adapter");
  }
  if (!flags.head_type.empty() && flags.format != "gguf")
    return FailUsage("--head-type is for --format gguf");
  return kExitOk;
}

int Export(const ExportFlags& flags) {
  if (const int code = CheckUsage(flags); code != kExitOk) return code;
  const auto type = ParseType("--type", flags.type);
  const auto head_type = ParseType("--head-type", flags.head_type);
  if (!type) return FailUsage(type.error().message);
  if (!head_type) return FailUsage(head_type.error().message);
  std::error_code ignored;
  const bool taken = IsFolderFormat(flags.format)
                         ? fs::exists(flags.output, ignored) && !fs::is_empty(flags.output, ignored)
                         : fs::exists(flags.output, ignored);
  if (taken && !flags.force) return Fail(flags.output + " exists already; --force replaces it");
  ProgressBar bar("Writing");
  const auto exported = IsAdapterFormat(flags.format) ? ExportAdapter(flags, *type)
                                                      : ExportModel(flags, *type, *head_type, bar);
  bar.Clear();
  if (!exported) return Fail(exported.error());
  int64_t size_bytes = 0;
  for (const std::string& path : exported->files)
    size_bytes += static_cast<int64_t>(fs::file_size(path, ignored));
  if (flags.json) {
    PrintJson({{"path", flags.output},
               {"format", flags.format},
               {"files", exported->files},
               {"size_bytes", size_bytes},
               {"notes", exported->notes}});
    return kExitOk;
  }
  Print(flags.output + Format(" (%.1f MB)\n", static_cast<double>(size_bytes) * 1e-6));
  for (const std::string& note : exported->notes) Print("note: " + note + "\n");
  return kExitOk;
}

}  // namespace

void AddExport(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "export", "Write a model or an adapter as GGUF, Hugging Face folder or PEFT adapter");
  const auto flags = std::make_shared<ExportFlags>();
  command->add_option("--model", flags->model, "A GGUF file, or a Hugging Face folder")
      ->required()
      ->check(CLI::ExistingPath)
      ->type_name("PATH");
  command->add_option("--adapter", flags->adapter, "A folder of PEFT with an adapter for it")
      ->check(CLI::ExistingDirectory)
      ->type_name("DIR");
  command->add_flag("--merge", flags->merge, "Add the adapter to the model's weights");
  command
      ->add_option("--format", flags->format,
                   "What to write: gguf, safetensors, peft, gguf-adapter")
      ->required()
      ->check(CLI::IsMember({"gguf", "safetensors", "peft", "gguf-adapter"}))
      ->type_name("FORMAT");
  command
      ->add_option("--type", flags->type,
                   "Of the weights: f32, f16, bf16 and in GGUF q8_0, q4_k, ... Without it a GGUF "
                   "has the source's types, a folder bf16, an adapter f32")
      ->type_name("TYPE");
  command->add_option("--head-type", flags->head_type, "GGUF: of the embedding and the head")
      ->type_name("TYPE");
  command
      ->add_option("--base-name", flags->base_name,
                   "Adapters: what they call their base (base_model_name_or_path)")
      ->type_name("NAME");
  command->add_option("--name", flags->name, "GGUF adapters: general.name; else the folder's")
      ->type_name("NAME");
  command->add_option("--max-file-gb", flags->max_file_gb, "Safetensors: cut above this size")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("GB");
  command->add_option("--output", flags->output, "The file or the folder to write")
      ->required()
      ->type_name("PATH");
  command->add_flag("-f,--force", flags->force, "Replace what is there");
  command->add_flag("--json", flags->json, "One JSON object at the end");
  AddExamples(
      *command,
      "  hearth-forge export --model base.gguf --format safetensors --output base-hf/\n"
      "  hearth-forge export --model base/ --adapter lora/ --merge --format gguf --type q8_0 "
      "--output merged.gguf\n"
      "  hearth-forge export --model base.gguf --adapter lora/ --format gguf-adapter "
      "--type f16 --output lora.gguf\n"
      "  hearth-forge export --model base.gguf --adapter lora/ --format peft --type bf16 "
      "--output lora-bf16/");
  command->callback([&action, flags] { action = [flags] { return Export(*flags); }; });
}

}  // namespace hearth::forge
