#pragma once
// A text's perplexity in windows, as llama-perplexity counts it.

#include <functional>
#include <vector>

#include "apps/hearth/score_sum.h"
#include "base/result.h"
#include "runtime/engine/engine.h"

namespace hearth {

// Windows of `window` tokens side by side; a rest at the end is left out. Of each, the tokens
// behind the middle are predicted from all before them, the window's first token replaced by BOS
// where the tokenizer adds one. `on_progress`: 0 to 1. Requires window >= 4 and num_windows *
// window <= tokens.size(). Errors: those of Engine::Score.
Result<ScoreSum> ScoreWindows(Engine& engine, std::vector<TokenId> tokens, int window,
                              int num_windows, const std::function<void(double)>& on_progress);

}  // namespace hearth
