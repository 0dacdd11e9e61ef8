#pragma once
// Adapters apart from a decoder: read from and written to PEFT's folders (adapter_config.json and
// adapter_model.safetensors), and written as GGUF files that llama.cpp loads with --lora.
// Threads: one at a time.

#include <string>
#include <vector>

#include "base/result.h"
#include "training/export/peft_config.h"
#include "training/model/decoder.h"

namespace hearth::forge {

// What a LoRA adapter is, without the base it belongs to.
struct Adapter {
  LoraOptions options;  // targets is never empty
  // PEFT's names, A [rank, inputs] and B [outputs, rank] of each target of each layer, in the order
  // of Decoder::LoraParameters.
  std::vector<NamedTensor> tensors;
  std::string base_model;  // what PEFT's base_model_name_or_path says; may be empty
};

// Of what is attached; the tensors share memory with the decoder's. Requires: an adapter attached.
Adapter AdapterOf(const Decoder& decoder);
// Attaches a copy in the decoder's type and device, replacing what was attached. Errors: those of
// Decoder::AttachLora; kInvalidArgument naming a tensor that is missing or misshapen.
Status AttachAdapter(Decoder& decoder, const Adapter& adapter);

// Reads PEFT's folder for a base of these sizes; the base itself is not needed. Errors: those of
// ReadPeftConfig; kNotFound; kUnsupported for weights that are not safetensors, and for tensors and
// targets that have no place in the base, by name; kCorrupt naming a tensor that is missing,
// misshapen (with both shapes) or not finite.
Result<Adapter> ReadPeftAdapter(const std::string& folder, const DecoderConfig& config);
// ReadPeftAdapter and AttachAdapter. -> base_model_name_or_path.
Result<std::string> LoadPeftAdapter(Decoder& decoder, const std::string& folder);

struct AdapterSaveOptions {
  TensorType type = TensorType::kF32;  // PEFT: F32, F16 or BF16; GGUF: any
};
// Makes the folder if need be. The config is written last: a folder without one is no adapter.
// Errors: those of the writers.
Status SavePeftAdapter(const Adapter& adapter, const std::string& folder,
                       const AdapterSaveOptions& options = {});
// `name` becomes general.name. llama.cpp scales by alpha / rank whatever the training did, so
// rsLoRA's scale goes into the alpha that is written.
// Source: llama.cpp, llama-adapter.cpp (keys, suffixes and shapes).
Status SaveGgufAdapter(const Adapter& adapter, const DecoderConfig& config,
                       const std::string& path, const std::string& name,
                       const AdapterSaveOptions& options = {});

}  // namespace hearth::forge
