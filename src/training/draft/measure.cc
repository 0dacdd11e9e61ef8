#include "training/draft/measure.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "training/loss/head_loss.h"

namespace hearth::forge {
namespace {

constexpr int64_t kBatchTokens = 4096;

// Whether the likeliest token of each state is the one at its place `ahead` of it; [num_tokens].
Tensor RightGuesses(const Draft& draft, const Tensor& states, const Tensor& tokens, int64_t ahead) {
  const Tensor ids =
      at::tensor(std::vector<int64_t>(draft.token_ids.begin(), draft.token_ids.end()), at::kLong)
          .to(states.device());
  const int64_t rows = states.size(0), count = std::max<int64_t>(0, rows - ahead);
  const Tensor right = at::zeros({rows}, states.options().dtype(at::kByte));
  const int64_t chunk = HeadChunkRows(draft.head.size(0), states.device());
  for (int64_t begin = 0; begin < count; begin += chunk) {
    const int64_t size = std::min(chunk, count - begin);
    const Tensor best = MatmulToFloat(states.narrow(0, begin, size), draft.head.t()).argmax(-1);
    right.narrow(0, begin, size)
        .copy_(ids.index_select(0, best).eq(tokens.narrow(0, begin + ahead, size)));
  }
  return right.to(at::kCPU);
}

struct Counts {
  int64_t places = 0;
  std::vector<int64_t> reached, right;          // by guess
  std::vector<int64_t> verifications, written;  // by guesses at most

  explicit Counts(size_t guesses)
      : reached(guesses), right(guesses), verifications(guesses), written(guesses) {}

  // `is_right(last, i)`: guess i of a draft behind the place `last`.
  template <typename IsRight>
  void Add(const GreedyText& text, const IsRight& is_right) {
    const auto end = static_cast<int64_t>(text.tokens.size());
    const auto guesses = reached.size();
    // How many guesses behind each place are right.
    std::vector<size_t> run(text.tokens.size(), 0);
    for (int64_t last = text.answer_begin; last + 1 < end; ++last) {
      ++places;
      size_t& length = run[static_cast<size_t>(last)];
      while (length < guesses && last + 1 + static_cast<int64_t>(length) < end) {
        ++reached[length];
        if (!is_right(last, length)) break;
        ++right[length++];
      }
    }
    for (size_t most = 1; most <= guesses; ++most) {
      for (int64_t last = text.answer_begin; last + 1 < end;) {
        const auto taken = static_cast<int64_t>(std::min(run[static_cast<size_t>(last)], most));
        const int64_t next = std::min(last + taken + 1, end - 1);
        ++verifications[most - 1];
        written[most - 1] += next - last;
        last = next;
      }
    }
  }
};

void MeasurePack(const Decoder& base, const Draft& draft, std::span<const GreedyText> texts,
                 Counts& counts) {
  std::vector<int64_t> all, lengths;
  for (const GreedyText& text : texts) {
    all.insert(all.end(), text.tokens.begin(), text.tokens.end());
    lengths.push_back(static_cast<int64_t>(text.tokens.size()));
  }
  const Tensor tokens = at::tensor(all, at::kLong).to(base.device());
  const SegmentLayout segments = SegmentLayout::Make(lengths, base.device());
  const BaseStates states = RunBase(base, draft.taps, tokens, segments);
  const DraftInputs inputs{tokens, &segments, states.taps};
  const auto guesses = static_cast<int64_t>(counts.reached.size());
  std::vector<Tensor> right;
  if (draft.is_head()) {
    const auto steps = HeadStates(draft, base, inputs, static_cast<int>(guesses));
    for (int64_t step = 0; step < guesses; ++step)
      right.push_back(RightGuesses(draft, steps[static_cast<size_t>(step)], tokens, step + 2));
  } else {
    right.push_back(RightGuesses(draft, ModelStates(draft, base, inputs), tokens, 1));
  }
  int64_t begin = 0;
  for (const GreedyText& text : texts) {
    counts.Add(text, [&](int64_t last, size_t guess) {
      // A head guesses from the place before, whose state it has.
      const int64_t row = begin + (draft.is_head() ? last - 1 : last + static_cast<int64_t>(guess));
      const Tensor& of = draft.is_head() ? right[guess] : right[0];
      return row >= begin && of.data_ptr<uint8_t>()[row] != 0;
    });
    begin += static_cast<int64_t>(text.tokens.size());
  }
}

double Share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

}  // namespace

Result<DraftQuality> MeasureDraft(const Decoder& base, const Draft& draft,
                                  const std::vector<GreedyText>& texts, int num_guesses) {
  if (num_guesses < 1)
    return MakeError(ErrorCode::kInvalidArgument, "drafts of " + std::to_string(num_guesses));
  Counts counts(static_cast<size_t>(num_guesses));
  const Status status = CatchTorch("measuring", [&]() -> Status {
    const at::NoGradGuard no_gradients;
    for (size_t begin = 0; begin < texts.size();) {
      size_t end = begin;
      int64_t tokens = 0;
      while (
          end < texts.size() &&
          (end == begin || tokens + static_cast<int64_t>(texts[end].tokens.size()) <= kBatchTokens))
        tokens += static_cast<int64_t>(texts[end++].tokens.size());
      MeasurePack(base, draft, std::span(texts).subspan(begin, end - begin), counts);
      begin = end;
    }
    return {};
  });
  if (!status) return tl::unexpected<Error>(status.error());
  if (counts.places == 0)
    return MakeError(ErrorCode::kInvalidArgument, "no answers to measure a draft on");
  DraftQuality quality;
  quality.texts = static_cast<int64_t>(texts.size());
  quality.tokens = counts.places;
  quality.agreement = Share(counts.right[0], counts.places);
  for (size_t guess = 0; guess < counts.reached.size(); ++guess) {
    quality.right_after.push_back(Share(counts.right[guess], counts.reached[guess]));
    quality.tokens_per_verification.push_back(
        Share(counts.written[guess], counts.verifications[guess]));
  }
  return quality;
}

}  // namespace hearth::forge
