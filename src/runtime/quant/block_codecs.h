#pragma once
// One block to floats and back, for every block format; quant.cc runs these over rows. Internal to
// this folder. Pure functions. `values` always has Block::kSize elements.

#include "runtime/quant/blocks.h"

namespace hearth {

// The float operations and their order are part of the format's meaning to us: they give the same
// bits as ggml's dequantize_row_* and as DequantizeStripRow.
void DecodeBlock(const Q4_0Block& block, float* values);
void DecodeBlock(const Q4_1Block& block, float* values);
void DecodeBlock(const Q5_0Block& block, float* values);
void DecodeBlock(const Q5_1Block& block, float* values);
void DecodeBlock(const Q8_0Block& block, float* values);
void DecodeBlock(const IQ4_NLBlock& block, float* values);
void DecodeBlock(const Q2_KBlock& block, float* values);
void DecodeBlock(const Q3_KBlock& block, float* values);
void DecodeBlock(const Q4_KBlock& block, float* values);
void DecodeBlock(const Q5_KBlock& block, float* values);
void DecodeBlock(const Q6_KBlock& block, float* values);

// Encoders set every byte of the block. Scales beyond binary16 saturate, so that no finite weight
// decodes to infinity or NaN.
void EncodeBlock(const float* values, Q4_0Block& block);
void EncodeBlock(const float* values, Q4_1Block& block);
void EncodeBlock(const float* values, Q5_0Block& block);
void EncodeBlock(const float* values, Q5_1Block& block);
void EncodeBlock(const float* values, Q8_0Block& block);
void EncodeBlock(const float* values, IQ4_NLBlock& block);
void EncodeBlock(const float* values, Q2_KBlock& block);
void EncodeBlock(const float* values, Q3_KBlock& block);
void EncodeBlock(const float* values, Q4_KBlock& block);
void EncodeBlock(const float* values, Q5_KBlock& block);
void EncodeBlock(const float* values, Q6_KBlock& block);

}  // namespace hearth
