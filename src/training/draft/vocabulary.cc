#include "training/draft/vocabulary.h"

#include <algorithm>
#include <numeric>

namespace hearth::forge {

std::vector<int64_t> CountLearnedTokens(const TokenStore& store, int64_t vocab_size) {
  std::vector<int64_t> counts(static_cast<size_t>(vocab_size), 0);
  for (int64_t index = 0; index < store.num_rows(); ++index) {
    const TokenizedRow row = store.Row(index);
    for (size_t i = 0; i < row.tokens.size(); ++i) {
      if (row.learned[i] != 0 && row.tokens[i] < vocab_size)
        ++counts[static_cast<size_t>(row.tokens[i])];
    }
  }
  return counts;
}

DraftVocabulary ChooseVocabulary(const std::vector<int64_t>& counts, int64_t size,
                                 const std::vector<int32_t>& always) {
  const auto all = static_cast<int64_t>(counts.size());
  const auto kept = static_cast<size_t>(size <= 0 || size > all ? all : size);
  std::vector<int32_t> order(counts.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count_of = [&](int32_t id) { return counts[static_cast<size_t>(id)]; };
  const auto is_first = [&](int32_t id) {
    return count_of(id) > 0 && std::ranges::find(always, id) != always.end();
  };
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return count_of(a) > count_of(b); });
  std::ranges::stable_partition(order, is_first);
  DraftVocabulary vocabulary;
  vocabulary.token_ids.assign(order.begin(), order.begin() + static_cast<ptrdiff_t>(kept));
  std::ranges::sort(vocabulary.token_ids);
  int64_t covered = 0, total = 0;
  for (const int64_t count : counts) total += count;
  for (const int32_t id : vocabulary.token_ids) covered += count_of(id);
  vocabulary.coverage = total > 0 ? static_cast<double>(covered) / static_cast<double>(total) : 1;
  return vocabulary;
}

}  // namespace hearth::forge
