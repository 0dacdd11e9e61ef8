#pragma once
// A draft of a base model, to be trained: either a head, whose layers read the base's hidden
// states, or a model of its own, cut from the base's layers. Both borrow the base's embedding and
// guess among a part of the vocabulary. What the file holds, and what a head computes for each
// place: docs/formats/draft_head.md.
// Threads: one at a time.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/quant/tensor_type.h"
#include "training/model/decoder.h"

namespace hearth::forge {

struct DraftTypes {
  TensorType layers = TensorType::kQ4_0;  // fuse and join too
  TensorType head = TensorType::kQ8_0;
};

struct DraftOptions {
  // A head's: the base's layers whose outputs it reads. Empty: a model of its own.
  std::vector<int> taps;
  // The base's layers that its own begin as; a head's default is the last one.
  std::vector<int> layers;
  // Not 0: only so many of the feed-forward's neurons, those with the largest weights.
  int64_t ffn_size = 0;
  // Tokens it can guess, ascending.
  std::vector<int32_t> token_ids;
  uint64_t seed = 0;
};

// Taps as in the trials: early, middle and last ("after layers 2, 15, 29" of 30).
std::vector<int> DefaultTaps(int64_t num_layers);

struct Draft {
  DecoderConfig config;  // of its own layers; vocab_size is the base's
  std::vector<int> taps;
  std::vector<int32_t> token_ids;
  Tensor fuse, join, token_norm, state_norm;  // of a head
  std::vector<DecoderLayerWeights> layers;
  Tensor output_norm;
  Tensor head;  // [token_ids.size(), hidden_size]

  bool is_head() const { return !taps.empty(); }

  // Errors: kInvalidArgument naming a layer, size or token that the base does not have.
  static Result<Draft> FromBase(const Decoder& base, const DraftOptions& options);
  // A file that Save wrote, dequantised. Errors: those of the file; kCorrupt naming a tensor or key
  // that does not fit the base.
  static Result<Draft> Load(const std::string& path, const Decoder& base);
  // Types that cannot hold a row's length become F16. Errors: those of the writer; kInvalidArgument
  // for values that are not finite.
  Status Save(const std::string& path, const DraftTypes& types) const;

  // By the names of the file, in a fixed order. They share memory with these.
  std::vector<NamedTensor> Parameters();
  // The same with weights as the file will hold them; gradients go to these.
  Draft FakeQuantized(const DraftTypes& types) const;

  // Bytes of the file's matrices that a guess reads: layers, join and head; and all of them.
  int64_t bytes_per_guess(const DraftTypes& types) const;
  int64_t bytes_in_all(const DraftTypes& types) const;
  // Multiply-adds of a guess.
  int64_t macs_per_guess() const;
};

// What a draft is given of its base: int64 tokens [num_tokens] of packed segments, and, for a head,
// the states behind its taps, concatenated [num_tokens, taps * hidden_size].
struct DraftInputs {
  Tensor tokens;
  const SegmentLayout* segments = nullptr;
  Tensor taps;
};

// A model of its own: [num_tokens, hidden_size] behind its output norm; row p guesses token p + 1.
Tensor ModelStates(const Draft& draft, const Decoder& base, const DraftInputs& inputs);

// A head's guesses behind every place at once: result[j] row p is the state, behind the output norm
// [num_tokens, hidden_size], that guesses token p + j + 2 after j right guesses: slot p + j reads
// token p + j + 1 beside the base's state at p (j = 0), or the head's own output of slot p + j - 1;
// it sees slots up to p as the base's states made them, and slots p + 1 to p + j as the head made
// them itself (runtime/spec_decode/state_head.cc). Rows whose token p + j + 1 lies beyond their
// segment's end mean nothing. Guesses that prove wrong end a draft, so what follows one is never
// needed.
std::vector<Tensor> HeadStates(const Draft& draft, const Decoder& base, const DraftInputs& inputs,
                               int num_steps);

// The states behind these layers, side by side, as DraftInputs has them; and the base's own state
// behind its final norm. No gradients.
struct BaseStates {
  Tensor taps;    // undefined for a model of its own
  Tensor hidden;  // [num_tokens, hidden_size]
};
BaseStates RunBase(const Decoder& base, const std::vector<int>& taps, const Tensor& tokens,
                   const SegmentLayout& segments);

}  // namespace hearth::forge
