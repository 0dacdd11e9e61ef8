// Qwen3: no biases, RMS norm on each query and key head before RoPE.
// Source: Qwen3 technical report, arXiv 2505.09388.

#include "runtime/model/decoder.h"

namespace hearth {

Result<DecoderSpec> Qwen3Spec(const GgufFile& file) {
  DecoderSpec spec;
  HEARTH_ASSIGN_OR_RETURN(spec.hparams, ReadHParams(file));
  spec.qk_norm = true;
  return spec;
}

}  // namespace hearth
