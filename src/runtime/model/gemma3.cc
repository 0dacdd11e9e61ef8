// Gemma 3 (text): scaled embeddings, norms before and after each part, head norms, tanh GELU, and a
// sliding window with its own RoPE base in five layers of six. Norm weights hold 1 + w in the GGUF
// file.
// Source: Gemma 3 technical report, arXiv 2503.19786.

#include <cmath>

#include "runtime/model/decoder.h"

namespace hearth {

Result<DecoderSpec> Gemma3Spec(const GgufFile& file) {
  DecoderSpec spec;
  HEARTH_ASSIGN_OR_RETURN(spec.hparams, ReadHParams(file));
  HParams& h = spec.hparams;
  // Converters write neither key where the value is the family's own.
  if (!file.Has("gemma3.rope.freq_base")) h.rope_theta = 1e6f;
  HEARTH_ASSIGN_OR_RETURN(const double local_theta,
                          file.GetFloatOr("gemma3.rope.freq_base_swa", 10000));
  if (!(local_theta >= 1 && local_theta <= 1e12)) {
    return MakeError(ErrorCode::kCorrupt,
                     "gemma3.rope.freq_base_swa is " + std::to_string(local_theta));
  }
  spec.local_rope_theta = static_cast<float>(local_theta);
  spec.embedding_scale = std::sqrt(static_cast<float>(h.hidden_size));
  spec.activation = FfnActivation::kGeluTanh;
  spec.qk_norm = true;
  spec.post_norms = true;
  spec.global_every = h.sliding_window > 0 ? 6 : 0;
  // The 27B model scales queries by its hidden size per head, all others by the head's.
  if (h.num_layers == 62) {
    spec.attention_scale =
        1.0f / std::sqrt(static_cast<float>(h.hidden_size) / static_cast<float>(h.num_heads));
  }
  return spec;
}

}  // namespace hearth
