#pragma once
// adapter_config.json of PEFT <-> what the decoder's adapters know. Every setting that changes what
// an adapter computes and that the decoder has not is refused by its name; nothing is ignored but
// what is known to make no difference. No torch. Threads: plain data, pure functions.
// Source: peft's LoraConfig, 0.21.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace hearth::forge {

struct PeftConfig {
  int64_t rank = 0;
  double alpha = 0;
  bool rs_lora = false;
  double dropout = 0;
  // Of q_proj k_proj v_proj o_proj gate_proj up_proj down_proj, as the file lists them. Empty where
  // it has an expression instead: the tensors say it then.
  std::vector<std::string> targets;
  std::vector<int32_t> invocation_tokens;  // of an activated LoRA
  std::string base_model;                  // base_model_name_or_path
};

// `folder` holds adapter_config.json. Errors: kNotFound, kCorrupt and kUnsupported, each naming the
// field and its value.
Result<PeftConfig> ReadPeftConfig(const std::string& folder);
// The same of the file's text; `what` is put in front of messages.
Result<PeftConfig> ParsePeftConfig(std::string_view text, const std::string& what);
// The file's text. peft from 0.18 on knows activated adapters; files of others can be read by any.
std::string PeftConfigText(const PeftConfig& config);

}  // namespace hearth::forge
