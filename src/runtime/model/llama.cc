// Llama 2 and 3.x, and what shares their graph (SmolLM2, Mistral, TinyLlama).
// Source: Touvron et al. 2023; the GGUF file holds query and key weights permuted for interleaved
// RoPE.

#include "runtime/model/decoder.h"
#include "runtime/quant/quant.h"

namespace hearth {

Result<DecoderSpec> LlamaSpec(const GgufFile& file) {
  DecoderSpec spec;
  HEARTH_ASSIGN_OR_RETURN(spec.hparams, ReadHParams(file));
  spec.rope_interleaved = true;
  // Llama 3.x scales its frequencies one by one; the divisors are precomputed in a tensor.
  if (const GgufTensor* factors = file.FindTensor("rope_freqs.weight")) {
    const auto expected = static_cast<uint64_t>(spec.hparams.rope_dim / 2);
    if (factors->type != TensorType::kF32 || factors->num_columns() != expected ||
        factors->num_rows() != 1) {
      return MakeError(ErrorCode::kCorrupt, "tensor rope_freqs.weight does not hold " +
                                                std::to_string(expected) + " F32 values");
    }
    spec.rope_factors.resize(expected);
    DequantizeRow(factors->type, factors->data, spec.rope_factors);
    for (const float factor : spec.rope_factors) {
      if (!(factor > 0))
        return MakeError(ErrorCode::kCorrupt,
                         "tensor rope_freqs.weight holds " + std::to_string(factor));
    }
  }
  return spec;
}

}  // namespace hearth
