#pragma once
// Reads the parts of a SentencePiece model file (a protocol buffer) that a GGUF tokenizer needs.
// Format: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace hearth {

struct SentencePieceModel {
  // Numbers as in the format, and in GGUF.
  enum class Type : int {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6
  };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::kNormal;
  };
  std::vector<Piece> pieces;
  int64_t model_type = 1;  // 1 unigram, 2 BPE
  bool add_dummy_prefix = true;
};

// Errors: kCorrupt.
Result<SentencePieceModel> ParseSentencePieceModel(std::span<const std::byte> bytes);

}  // namespace hearth
