#include "training/export/adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/mapped_file.h"
#include "kit/safetensors.h"
#include "kit/safetensors_writer.h"
#include "runtime/gguf/gguf_writer.h"
#include "runtime/quant/quant.h"
#include "training/export/gguf_tensors.h"

namespace hearth::forge {
namespace {

constexpr const char* kPrefix = "base_model.model.";
constexpr const char* kWeightsName = "/adapter_model.safetensors";

struct LinearShape {
  const char* name;  // as LoraOptions::targets has it
  const char* part;  // of the module's name
  int64_t outputs, inputs;
};

std::array<LinearShape, 7> LinearShapes(const DecoderConfig& c) {
  return {{{"q_proj", "self_attn.q_proj", c.query_size(), c.hidden_size},
           {"k_proj", "self_attn.k_proj", c.kv_size(), c.hidden_size},
           {"v_proj", "self_attn.v_proj", c.kv_size(), c.hidden_size},
           {"o_proj", "self_attn.o_proj", c.hidden_size, c.query_size()},
           {"gate_proj", "mlp.gate_proj", c.ffn_size, c.hidden_size},
           {"up_proj", "mlp.up_proj", c.ffn_size, c.hidden_size},
           {"down_proj", "mlp.down_proj", c.hidden_size, c.ffn_size}}};
}

bool Has(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
};

// In the order of Decoder::LoraParameters.
std::vector<ExpectedTensor> ExpectedTensors(const DecoderConfig& config,
                                            const std::vector<std::string>& targets,
                                            int64_t rank) {
  std::vector<ExpectedTensor> list;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    for (const LinearShape& linear : LinearShapes(config)) {
      if (!Has(targets, linear.name)) continue;
      const std::string module =
          kPrefix + ("model.layers." + std::to_string(layer) + "." + linear.part);
      list.push_back({module + ".lora_A.weight", {rank, linear.inputs}});
      list.push_back({module + ".lora_B.weight", {linear.outputs, rank}});
    }
  }
  return list;
}

// The module of an adapter's tensor ("q_proj"); empty for names of other kinds.
std::string TargetOf(const std::string& name) {
  for (const char* suffix : {".lora_A.weight", ".lora_B.weight"}) {
    if (!name.ends_with(suffix)) continue;
    const std::string module = name.substr(0, name.size() - std::strlen(suffix));
    return module.substr(module.rfind('.') + 1);
  }
  return "";
}

std::string ShapeText(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

Result<Tensor> ValuesOf(const SafeTensor& source, const std::string& path) {
  const std::vector<int64_t> shape(source.shape.begin(), source.shape.end());
  Tensor values = at::empty(shape, at::TensorOptions().dtype(at::kFloat));
  DequantizeRow(source.type, source.data,
                {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  if (!at::isfinite(values).all().item<bool>())
    return MakeError(ErrorCode::kCorrupt,
                     path + ": tensor " + source.name + " has values that are not finite");
  return values;
}

bool IsPermuted(const DecoderConfig& config, const std::string& name) {
  const std::string target = TargetOf(name);
  return config.architecture == "llama" && name.ends_with(".lora_B.weight") &&
         (target == "q_proj" || target == "k_proj");
}

}  // namespace

Adapter AdapterOf(const Decoder& decoder) {
  HEARTH_CHECK(decoder.lora() != nullptr);
  Adapter adapter;
  adapter.options = *decoder.lora();
  if (adapter.options.targets.empty()) {
    for (const LinearShape& linear : LinearShapes(decoder.config()))
      adapter.options.targets.push_back(linear.name);
  }
  adapter.tensors = decoder.LoraParameters();
  return adapter;
}

Status AttachAdapter(Decoder& decoder, const Adapter& adapter) {
  std::map<std::string, Tensor> by_name;
  for (const NamedTensor& tensor : adapter.tensors) by_name[tensor.name] = tensor.tensor.detach();
  HEARTH_RETURN_IF_ERROR(decoder.AttachLora(adapter.options, /*seed=*/0));
  const at::NoGradGuard no_gradients;
  for (const NamedTensor& parameter : decoder.LoraParameters()) {
    const auto found = by_name.find(parameter.name);
    const bool fits =
        found != by_name.end() && found->second.sizes() == parameter.tensor.sizes();
    if (!fits) {
      const std::string what =
          found == by_name.end()
              ? " is missing"
              : " is " + ShapeText(found->second.sizes()) + ", expected " +
                    ShapeText(parameter.tensor.sizes());
      decoder.DetachLora();
      return MakeError(ErrorCode::kInvalidArgument,
                       "adapter: tensor " + parameter.name + what);
    }
    Tensor(parameter.tensor).copy_(found->second);
  }
  return {};
}

Result<Adapter> ReadPeftAdapter(const std::string& folder, const DecoderConfig& config) {
  HEARTH_ASSIGN_OR_RETURN(const PeftConfig peft, ReadPeftConfig(folder));
  const std::string path = folder + kWeightsName;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored) &&
      std::filesystem::exists(folder + "/adapter_model.bin", ignored))
    return MakeError(ErrorCode::kUnsupported,
                     folder + "/adapter_model.bin is a pickle, which may run anything when it is "
                              "read; save the adapter as adapter_model.safetensors");
  HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const auto parsed = ParseSafetensors(file.bytes());
  if (!parsed) return MakeError(parsed.error().code, path + ": " + parsed.error().message);
  std::map<std::string, const SafeTensor*> by_name;
  for (const SafeTensor& tensor : *parsed) by_name[tensor.name] = &tensor;

  Adapter adapter;
  adapter.base_model = peft.base_model;
  adapter.options.rank = peft.rank;
  adapter.options.alpha = peft.alpha;
  adapter.options.rs_lora = peft.rs_lora;
  adapter.options.dropout = peft.dropout;
  adapter.options.invocation_tokens = peft.invocation_tokens;
  // In the decoder's order: peft keeps a set.
  std::set<std::string> targets(peft.targets.begin(), peft.targets.end());
  for (const auto& [name, tensor] : by_name) {
    if (peft.targets.empty()) targets.insert(TargetOf(name));
  }
  for (const LinearShape& linear : LinearShapes(config)) {
    if (targets.contains(linear.name)) adapter.options.targets.push_back(linear.name);
  }
  const auto expected = ExpectedTensors(config, adapter.options.targets, peft.rank);
  std::set<std::string> expected_names;
  for (const ExpectedTensor& tensor : expected) expected_names.insert(tensor.name);
  for (const auto& [name, tensor] : by_name) {
    if (!expected_names.contains(name))
      return MakeError(ErrorCode::kUnsupported, path + ": tensor " + name.substr(0, 200) +
                                                    " has no place in a " + config.architecture +
                                                    " of " + std::to_string(config.num_layers) +
                                                    " layers with these target_modules");
  }
  if (expected.empty())
    return MakeError(ErrorCode::kCorrupt, path + " holds no adapter's tensors");
  const Status copied = CatchTorch(path, [&]() -> Status {
    for (const ExpectedTensor& wanted : expected) {
      const auto found = by_name.find(wanted.name);
      if (found == by_name.end())
        return MakeError(ErrorCode::kCorrupt, path + ": tensor " + wanted.name + " is missing");
      const std::vector<int64_t> shape(found->second->shape.begin(), found->second->shape.end());
      if (shape != wanted.shape)
        return MakeError(ErrorCode::kCorrupt, path + ": tensor " + wanted.name + " is " +
                                                  ShapeText(shape) + ", expected " +
                                                  ShapeText(wanted.shape));
      HEARTH_ASSIGN_OR_RETURN(Tensor values, ValuesOf(*found->second, path));
      adapter.tensors.push_back({wanted.name, std::move(values)});
    }
    return {};
  });
  if (!copied) return tl::unexpected<Error>(copied.error());
  return adapter;
}

Result<std::string> LoadPeftAdapter(Decoder& decoder, const std::string& folder) {
  HEARTH_ASSIGN_OR_RETURN(const Adapter adapter, ReadPeftAdapter(folder, decoder.config()));
  HEARTH_RETURN_IF_ERROR(AttachAdapter(decoder, adapter));
  return adapter.base_model;
}

Status SavePeftAdapter(const Adapter& adapter, const std::string& folder,
                       const AdapterSaveOptions& options) {
  if (InfoOf(options.type).block_size != 1)
    return MakeError(ErrorCode::kInvalidArgument,
                     "type " + std::string(InfoOf(options.type).name) +
                         ": PEFT's adapters are F32, F16 or BF16");
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return MakeError(ErrorCode::kIo, folder + ": " + error.message());
  SafetensorsWriter writer;
  for (const NamedTensor& tensor : adapter.tensors) {
    const auto sizes = tensor.tensor.sizes();
    writer.AddTensor(tensor.name, options.type, {sizes.begin(), sizes.end()},
                     StoredRows(tensor.name, tensor.tensor, {options.type}));
  }
  HEARTH_RETURN_IF_ERROR(writer.Write(folder + kWeightsName));
  PeftConfig config;
  config.rank = adapter.options.rank;
  config.alpha = adapter.options.alpha;
  config.rs_lora = adapter.options.rs_lora;
  config.dropout = adapter.options.dropout;
  config.targets = adapter.options.targets;
  config.invocation_tokens = adapter.options.invocation_tokens;
  config.base_model = adapter.base_model;
  const std::string text = PeftConfigText(config);
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(folder + "/adapter_config.json"));
  HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(text))));
  return file.Commit();
}

Status SaveGgufAdapter(const Adapter& adapter, const DecoderConfig& config,
                       const std::string& path, const std::string& name,
                       const AdapterSaveOptions& options) {
  GgufWriter writer;
  writer.SetString("general.architecture", config.architecture);
  writer.SetString("general.type", "adapter");
  if (!name.empty()) writer.SetString("general.name", name);
  if (!adapter.base_model.empty()) {
    writer.SetUint32("general.base_model.count", 1);
    writer.SetString("general.base_model.0.name", adapter.base_model);
  }
  writer.SetString("adapter.type", "lora");
  writer.SetFloat32("adapter.lora.alpha",
                    static_cast<float>(adapter.options.scale() *
                                       static_cast<double>(adapter.options.rank)));
  const auto& tokens = adapter.options.invocation_tokens;
  if (!tokens.empty()) {
    // Unsigned: llama.cpp refuses the signed kind.
    writer.Set("adapter.alora.invocation_tokens",
               {GgufValueType::kArray,
                GgufArray{GgufValueType::kUint32, std::vector<int64_t>(tokens.begin(), tokens.end())}});
  }
  SetGgufFileType(writer, options.type);
  for (const NamedTensor& tensor : adapter.tensors) {
    const bool is_a = tensor.name.ends_with(".lora_A.weight");
    const std::string target = TargetOf(tensor.name);
    const size_t prefix = std::strlen(kPrefix), suffix = std::strlen(".lora_A.weight");
    if (target.empty() || tensor.name.size() < prefix + suffix)
      return MakeError(ErrorCode::kInvalidArgument, "tensor " + tensor.name + " is no adapter's");
    const std::string module = tensor.name.substr(prefix, tensor.name.size() - prefix - suffix);
    const std::string base_name = GgufNameOf(module + ".weight");
    if (base_name.empty())
      return MakeError(ErrorCode::kInvalidArgument,
                       "tensor " + tensor.name + " has no name in GGUF files");
    HEARTH_RETURN_IF_ERROR(AddGgufTensor(
        writer, base_name + (is_a ? ".lora_a" : ".lora_b"), tensor.tensor,
        {options.type, IsPermuted(config, tensor.name) ? config.head_dim : 0}));
  }
  return writer.Write(path);
}

}  // namespace hearth::forge
