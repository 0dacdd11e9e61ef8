// Qwen2 and Qwen2.5: Llama's graph with biases on query, key and value, and RoPE on halves.
// Source: Qwen2 technical report, arXiv 2407.10671.

#include "runtime/model/decoder.h"

namespace hearth {

Result<DecoderSpec> Qwen2Spec(const GgufFile& file) {
  DecoderSpec spec;
  HEARTH_ASSIGN_OR_RETURN(spec.hparams, ReadHParams(file));
  for (const char* name : {"blk.0.attn_q.bias", "blk.0.attn_k.bias", "blk.0.attn_v.bias"}) {
    if (file.FindTensor(name) == nullptr)
      return MakeError(ErrorCode::kCorrupt, std::string("tensor ") + name + " is missing");
  }
  return spec;
}

}  // namespace hearth
