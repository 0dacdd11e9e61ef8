#include "training/export/save_model.h"

#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "base/atomic_file.h"
#include "kit/model_keys.h"
#include "kit/safetensors.h"
#include "kit/safetensors_writer.h"
#include "kit/tokenizer_keys.h"
#include "runtime/gguf/gguf_writer.h"
#include "training/export/gguf_tensors.h"
#include "training/export/hf_config.h"
#include "training/export/hf_tokenizer.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> Invalid(const std::string& what) {
  return MakeError(ErrorCode::kInvalidArgument, what);
}

// The model that a decoder was loaded from: one of the two, or none.
struct SourceModel {
  std::optional<GgufFile> gguf;
  std::optional<Checkpoint> checkpoint;
  std::string folder;  // of the checkpoint
};

Status CheckSame(const DecoderConfig& source, const DecoderConfig& ours, const std::string& path) {
  std::string difference = DifferenceOf(source, ours);
  const auto near = [](double a, double b) { return std::abs(a - b) <= 1e-6 * std::abs(b); };
  if (difference.empty() && !near(source.rope_theta, ours.rope_theta))
    difference = "rope_theta " + std::to_string(source.rope_theta) + " and " +
                 std::to_string(ours.rope_theta);
  if (difference.empty() && !near(source.rope_linear_factor, ours.rope_linear_factor))
    difference = "RoPE's factor";
  if (difference.empty() && !near(source.norm_eps, ours.norm_eps))
    difference = "the norms' epsilon";
  bool same_factors = source.rope_factors.size() == ours.rope_factors.size();
  for (size_t i = 0; same_factors && i < ours.rope_factors.size(); ++i)
    same_factors =
        std::abs(source.rope_factors[i] - ours.rope_factors[i]) <= 1e-4f * ours.rope_factors[i];
  if (difference.empty() && !same_factors) difference = "RoPE's factors";
  if (difference.empty()) return {};
  return Invalid(path + " is not of the decoder's shape: " + difference);
}

// Opens the source and checks that its shape is the decoder's.
Result<SourceModel> OpenSource(const std::string& path, const DecoderConfig& config) {
  SourceModel source;
  if (path.empty()) return source;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    HEARTH_ASSIGN_OR_RETURN(const DecoderConfig stored, ConfigFromFolder(path));
    HEARTH_RETURN_IF_ERROR(CheckSame(stored, config, path));
    HEARTH_ASSIGN_OR_RETURN(source.checkpoint, Checkpoint::Open(path));
    source.folder = path;
    return source;
  }
  HEARTH_ASSIGN_OR_RETURN(source.gguf, GgufFile::Open(path));
  HEARTH_ASSIGN_OR_RETURN(const DecoderConfig stored, ConfigFromGguf(*source.gguf));
  HEARTH_RETURN_IF_ERROR(CheckSame(stored, config, path));
  return source;
}

Status CheckNoAdapter(const Decoder& decoder) {
  if (decoder.lora() == nullptr) return {};
  return Invalid("the decoder has an adapter attached: merge it, or save it apart");
}

// ---- GGUF ----

bool IsHead(const std::string& name) {
  return name == "token_embd.weight" || name == "output.weight";
}

// Keys that say how the source's weights were made or where they lie.
bool IsOfWeights(const std::string& key) {
  return key == "general.alignment" || key == "general.file_type" ||
         key == "general.quantization_version" || key.starts_with("quantize.") ||
         key.starts_with("split.");
}

Status SetMetadata(const DecoderConfig& config, const SourceModel& source, GgufWriter& writer) {
  if (source.gguf) {
    for (const auto& [key, value] : source.gguf->metadata()) {
      if (!IsOfWeights(key)) writer.Set(key, value);
    }
    return {};
  }
  Result<Json> json = Json::object();
  if (source.checkpoint) {
    json = ReadJsonObject(source.folder + "/config.json");
  } else {
    HEARTH_ASSIGN_OR_RETURN(const std::string text, HfConfigText(config, {}, "float32"));
    json = ParseJsonObject(text, "config.json");
  }
  if (!json) return tl::unexpected<Error>(json.error());
  HEARTH_RETURN_IF_ERROR(SetHyperparameters(*json, {}, writer).map([](const auto&) {}));
  if (!source.checkpoint) return {};
  writer.SetString("general.name", fs::weakly_canonical(source.folder).filename().string());
  return SetTokenizer(source.folder, /*is_bert=*/false, config.vocab_size, writer);
}

// The type a tensor has in the source; F32 for one that is not there.
TensorType StoredType(const SourceModel& source, const std::string& hf_name,
                      const std::string& gguf_name) {
  if (source.gguf) {
    const GgufTensor* tensor = source.gguf->FindTensor(gguf_name);
    if (tensor != nullptr) return tensor->type;
  } else if (source.checkpoint) {
    const auto found = source.checkpoint->tensors().find(hf_name);
    if (found != source.checkpoint->tensors().end()) return found->second.type;
  }
  return TensorType::kF32;
}

// The type that most of the values have.
TensorType MainType(const Decoder& decoder, const SourceModel& source) {
  std::map<TensorType, int64_t> counts;
  for (const NamedTensor& parameter : decoder.Parameters()) {
    const std::string name = GgufNameOf(parameter.name);
    if (!IsHead(name)) counts[StoredType(source, parameter.name, name)] += parameter.tensor.numel();
  }
  TensorType main = TensorType::kF32;
  for (const auto& [type, count] : counts) {
    if (count > counts[main]) main = type;
  }
  return main;
}

// ---- folders ----

const char* DtypeName(TensorType type) {
  return type == TensorType::kF32 ? "float32" : type == TensorType::kF16 ? "float16" : "bfloat16";
}

Status WriteText(const std::string& path, const std::string& text) {
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(text))));
  return file.Commit();
}

class FolderWriter {
 public:
  FolderWriter(const Decoder& decoder, const SourceModel& source, std::string folder,
               const FolderSaveOptions& options)
      : decoder_(decoder), source_(source), folder_(std::move(folder)), options_(options) {}

  Result<SavedFolder> Write() {
    std::error_code error;
    fs::create_directories(folder_, error);
    if (error) return MakeError(ErrorCode::kIo, folder_ + ": " + error.message());
    HEARTH_ASSIGN_OR_RETURN(const std::string config, ConfigText());
    fs::remove(folder_ + "/config.json", error);
    SafetensorsWriter writer;
    for (const NamedTensor& parameter : decoder_.Parameters()) {
      const auto sizes = parameter.tensor.sizes();
      writer.AddTensor(parameter.name, options_.type, {sizes.begin(), sizes.end()},
                       StoredRows(parameter.name, parameter.tensor, {options_.type}));
    }
    HEARTH_ASSIGN_OR_RETURN(
        saved_.files, writer.WriteFolder(folder_, options_.max_file_bytes, options_.on_progress));
    if (source_.checkpoint) {
      HEARTH_RETURN_IF_ERROR(CopyFiles());
    } else if (source_.gguf) {
      HEARTH_RETURN_IF_ERROR(MakeFiles());
    }
    HEARTH_RETURN_IF_ERROR(Add("config.json", config));
    return std::move(saved_);
  }

 private:
  Result<std::string> ConfigText() const {
    if (source_.checkpoint)
      return HfConfigWithDtype(source_.folder + "/config.json", DtypeName(options_.type));
    const SpecialTokens tokens = source_.gguf ? SpecialTokensOf(*source_.gguf) : SpecialTokens();
    HEARTH_ASSIGN_OR_RETURN(const std::string text,
                            HfConfigText(decoder_.config(), tokens, DtypeName(options_.type)));
    return text;
  }

  Status Add(const std::string& name, const std::string& text) {
    HEARTH_RETURN_IF_ERROR(WriteText(folder_ + "/" + name, text));
    saved_.files.push_back(name);
    return {};
  }

  Status CopyFiles() {
    std::error_code error;
    for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json",
                             "special_tokens_map.json", "added_tokens.json", "vocab.json",
                             "merges.txt", "chat_template.jinja", "generation_config.json"}) {
      const std::string from = source_.folder + "/" + name, to = folder_ + "/" + name;
      if (!fs::exists(from, error)) continue;
      if (!fs::equivalent(from, to, error)) {
        fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
        if (error) return MakeError(ErrorCode::kIo, to + ": " + error.message());
      }
      saved_.files.push_back(name);
    }
    return {};
  }

  Status MakeFiles() {
    const std::string generation = HfGenerationConfigText(SpecialTokensOf(*source_.gguf));
    if (!generation.empty()) HEARTH_RETURN_IF_ERROR(Add("generation_config.json", generation));
    const auto tokenizer = HfTokenizerOf(*source_.gguf);
    if (!tokenizer) {
      saved_.notes.push_back("no tokenizer files: " + tokenizer.error().message);
      return {};
    }
    HEARTH_RETURN_IF_ERROR(Add("tokenizer.json", tokenizer->tokenizer_json));
    return Add("tokenizer_config.json", tokenizer->tokenizer_config_json);
  }

  const Decoder& decoder_;
  const SourceModel& source_;
  const std::string folder_;
  const FolderSaveOptions& options_;
  SavedFolder saved_;
};

}  // namespace

Status SaveGguf(const Decoder& decoder, const std::string& source_path, const std::string& path,
                const GgufSaveOptions& options) {
  HEARTH_RETURN_IF_ERROR(CheckNoAdapter(decoder));
  const DecoderConfig& config = decoder.config();
  HEARTH_ASSIGN_OR_RETURN(const SourceModel source, OpenSource(source_path, config));
  GgufWriter writer;
  HEARTH_RETURN_IF_ERROR(SetMetadata(config, source, writer));
  SetGgufFileType(writer, options.type.value_or(MainType(decoder, source)));
  std::set<std::string> names = {"rope_freqs.weight"};
  for (const NamedTensor& parameter : decoder.Parameters()) {
    const std::string name = GgufNameOf(parameter.name);
    names.insert(name);
    const TensorType stored = StoredType(source, parameter.name, name);
    GgufTensorOptions tensor_options;
    tensor_options.type = options.type.value_or(stored);
    if (IsHead(name)) tensor_options.type = options.head_type.value_or(tensor_options.type);
    const bool permuted =
        config.architecture == "llama" && (parameter.name.find("q_proj") != std::string::npos ||
                                           parameter.name.find("k_proj") != std::string::npos);
    if (permuted) tensor_options.interleaved_head_dim = config.head_dim;
    const GgufTensor* before = source.gguf ? source.gguf->FindTensor(name) : nullptr;
    if (before != nullptr && before->type == tensor_options.type)
      tensor_options.stored_before = before->data;
    HEARTH_RETURN_IF_ERROR(AddGgufTensor(writer, name, parameter.tensor, tensor_options));
  }
  if (!config.rope_factors.empty())
    writer.AddTensor("rope_freqs.weight", TensorType::kF32, {config.rope_factors.size()},
                     std::as_bytes(std::span(config.rope_factors)));
  if (source.gguf) {
    for (const GgufTensor& tensor : source.gguf->tensors()) {
      if (!names.contains(tensor.name))
        return MakeError(ErrorCode::kUnsupported, source_path + ": the decoder has no tensor " +
                                                      tensor.name + ", which would be lost");
    }
  }
  return writer.Write(path, options.on_progress);
}

Result<SavedFolder> SaveFolder(const Decoder& decoder, const std::string& source_path,
                               const std::string& folder, const FolderSaveOptions& options) {
  HEARTH_RETURN_IF_ERROR(CheckNoAdapter(decoder));
  if (InfoOf(options.type).block_size != 1)
    return Invalid("type " + std::string(InfoOf(options.type).name) +
                   ": safetensors are F32, F16 or BF16 here");
  HEARTH_ASSIGN_OR_RETURN(const SourceModel source, OpenSource(source_path, decoder.config()));
  return FolderWriter(decoder, source, folder, options).Write();
}

}  // namespace hearth::forge
