// export: a model or an adapter in another format.

#include <filesystem>

#include "training/export/adapter.h"
#include "training/export/save_model.h"
#include "training/recipe/stages/declarations.h"
#include "training/recipe/stages/kinds.h"
#include "training/recipe/stages/training_keys.h"

namespace hearth::forge {
namespace {

class Export final : public StageKind {
 public:
  const StageDeclaration& declaration() const override { return ExportDeclaration(); }

  Result<StageResult> Run(const StageContext& context) const override {
    const Parameters& parameters = context.parameters();
    const std::string& source = context.Input("base_model");
    HEARTH_ASSIGN_OR_RETURN(Decoder decoder, Decoder::Load(source, {}));
    if (context.HasInput("lora_model_dir")) {
      const std::string& adapter = context.Input("lora_model_dir");
      HEARTH_RETURN_IF_ERROR(LoadPeftAdapter(decoder, adapter).map([](const auto&) {}));
      if (!decoder.lora()->invocation_tokens.empty()) {
        return MakeError(ErrorCode::kInvalidArgument,
                         "lora_model_dir is an activated adapter: it works behind its invocation "
                         "alone and cannot be merged");
      }
      decoder.MergeLora();
    }
    const std::string& type = parameters.String("type");
    const auto on_progress = [&context](double done) { context.Progress(done, "writing"); };
    if (parameters.String("format") == "gguf") {
      GgufSaveOptions options;
      if (type != "source") options.type = TypeOfKey(parameters, "type");
      if (parameters.String("head_type") != "source")
        options.head_type = TypeOfKey(parameters, "head_type");
      options.on_progress = on_progress;
      HEARTH_RETURN_IF_ERROR(SaveGguf(decoder, source, context.Output("gguf"), options));
      return Measured(context.Output("gguf"));
    }
    FolderSaveOptions options;
    if (type != "source") options.type = TypeOfKey(parameters, "type");
    options.on_progress = on_progress;
    HEARTH_ASSIGN_OR_RETURN(const SavedFolder saved,
                            SaveFolder(decoder, source, context.Output("folder"), options));
    for (const std::string& note : saved.notes) context.Log(note);
    return StageResult{};
  }

 private:
  static Result<StageResult> Measured(const std::string& path) {
    std::error_code error;
    StageResult result;
    result.figures.push_back({"megabytes",
                              static_cast<double>(std::filesystem::file_size(path, error)) * 1e-6,
                              {},
                              {},
                              "MB"});
    return result;
  }
};

}  // namespace

const StageKind& ExportStage() {
  static const Export kind;
  return kind;
}

}  // namespace hearth::forge
