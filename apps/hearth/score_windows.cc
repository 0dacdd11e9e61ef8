#include "apps/hearth/score_windows.h"

#include <span>

namespace hearth {

Result<ScoreSum> ScoreWindows(Engine& engine, std::vector<TokenId> tokens, int window,
                              int num_windows, const std::function<void(double)>& on_progress) {
  const Tokenizer& tokenizer = engine.tokenizer();
  ScoreSum sum;
  for (int i = 0; i < num_windows; ++i) {
    on_progress(static_cast<double>(i) / num_windows);
    const std::span<TokenId> slice =
        std::span(tokens).subspan(static_cast<size_t>(i) * window, window);
    if (tokenizer.adds_bos() && tokenizer.bos()) slice[0] = *tokenizer.bos();
    HEARTH_ASSIGN_OR_RETURN(const std::vector<float> scores, engine.Score(slice, window / 2 + 1));
    for (const float score : scores) sum.Add(score);
  }
  return sum;
}

}  // namespace hearth
