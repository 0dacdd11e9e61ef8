#include "training/curate/quality_training.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "training/curate/compared_text.h"
#include "training/curate/quality_rules.h"

namespace hearth::forge {
namespace {

constexpr int64_t kMinGoodRows = 100;

uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

struct Sample {
  std::vector<Feature> features;
  bool good = false;
  int kind = -1;  // of damage; -1: as it was found
  bool held_out = false;
};

struct GoodRow {
  uint64_t hash = 0;
  std::string prompt, answer;
};

// The first exchange of rows that break no rule, of each file those with the lowest hashes.
Result<std::vector<GoodRow>> ReadRows(const std::string& path, int64_t max_rows) {
  HEARTH_ASSIGN_OR_RETURN(RowReader reader, RowReader::Open({path}));
  std::vector<GoodRow> rows;
  while (reader.can_continue()) {
    Result<std::optional<Conversation>> row = reader.Next();
    if (!row) {
      if (!reader.can_continue()) return tl::unexpected(row.error());
      continue;
    }
    if (!*row) break;
    StripEndMarkers(**row);
    if (FindFault(**row, {})) continue;
    const std::vector<Exchange> exchanges = ExchangesOf(**row);
    if (exchanges.empty()) continue;
    rows.push_back({Mix(Compare(**row).hash.low), std::string(exchanges[0].prompt),
                    std::string(exchanges[0].answer)});
    if (static_cast<int64_t>(rows.size()) >= 4 * max_rows) {
      std::ranges::nth_element(rows, rows.begin() + max_rows, {}, &GoodRow::hash);
      rows.resize(static_cast<size_t>(max_rows));
    }
  }
  std::ranges::sort(rows, {}, &GoodRow::hash);
  // Copies of one row could lie on both sides only if their hashes differed; they need not weigh.
  const auto rest = std::ranges::unique(rows, {}, &GoodRow::hash);
  rows.erase(rest.begin(), rest.end());
  if (static_cast<int64_t>(rows.size()) > max_rows) rows.resize(static_cast<size_t>(max_rows));
  return rows;
}

// Adagrad on the logistic loss, `without`: a kind of damage that is left out.
std::vector<float> Fit(const std::vector<Sample>& samples, int epochs, int without) {
  constexpr double kRate = 0.1, kDecay = 1e-6;
  std::vector<double> weights(kNumFeatures, 0), squares(kNumFeatures, 1e-4);
  std::vector<size_t> order;
  for (size_t i = 0; i < samples.size(); ++i)
    if (!samples[i].held_out && (samples[i].kind < 0 || samples[i].kind != without))
      order.push_back(i);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    uint64_t state = static_cast<uint64_t>(epoch) + 1;
    for (size_t i = order.size(); i > 1; --i) {
      state += 0x9e3779b97f4a7c15ULL;
      std::swap(order[i - 1], order[Mix(state) % i]);
    }
    for (const size_t index : order) {
      const Sample& sample = samples[index];
      double sum = 0;
      for (const Feature& feature : sample.features)
        sum += weights[feature.index] * static_cast<double>(feature.value);
      const double error = 1 / (1 + std::exp(-sum)) - (sample.good ? 1 : 0);
      for (const Feature& feature : sample.features) {
        const double gradient =
            error * static_cast<double>(feature.value) + kDecay * weights[feature.index];
        squares[feature.index] += gradient * gradient;
        weights[feature.index] -= kRate * gradient / std::sqrt(squares[feature.index]);
      }
    }
  }
  return {weights.begin(), weights.end()};
}

// The probability that a good one scores above a bad one.
double Auc(const std::vector<double>& good, const std::vector<double>& bad) {
  if (good.empty() || bad.empty()) return 0;
  std::vector<double> sorted = good;
  std::ranges::sort(sorted);
  double wins = 0;
  for (const double score : bad) {
    const auto [below, above] = std::ranges::equal_range(sorted, score);
    wins += static_cast<double>(sorted.end() - above) + static_cast<double>(above - below) / 2;
  }
  return wins / (static_cast<double>(good.size()) * static_cast<double>(bad.size()));
}

double ShareBelow(const std::vector<double>& scores, double threshold) {
  if (scores.empty()) return 0;
  const auto below = std::ranges::count_if(scores, [&](double s) { return s < threshold; });
  return static_cast<double>(below) / static_cast<double>(scores.size());
}

struct HeldOut {
  std::vector<double> good, bad;
  std::vector<std::vector<double>> by_kind;
};

HeldOut ScoreHeldOut(const QualityClassifier& classifier, const std::vector<Sample>& samples) {
  HeldOut scores;
  scores.by_kind.resize(DamageKinds().size());
  for (const Sample& sample : samples) {
    if (!sample.held_out) continue;
    const double score = classifier.ScoreFeatures(sample.features);
    (sample.good ? scores.good : scores.bad).push_back(score);
    if (sample.kind >= 0) scores.by_kind[static_cast<size_t>(sample.kind)].push_back(score);
  }
  return scores;
}

// Where `keep` of the good rows pass.
double ThresholdFor(std::vector<double> good, double keep) {
  if (good.empty()) return 0;
  std::ranges::sort(good);
  const auto index = static_cast<size_t>((1 - keep) * static_cast<double>(good.size()));
  return good[std::min(index, good.size() - 1)];
}

Result<std::vector<Sample>> MakeSamples(const QualityTrainingOptions& options) {
  std::vector<Sample> samples;
  const auto held_out = [&](uint64_t hash) {
    return static_cast<double>(Mix(hash ^ 0x5bd1e995) >> 11) * 0x1p-53 < options.held_out;
  };
  for (const std::string& path : options.good) {
    HEARTH_ASSIGN_OR_RETURN(const std::vector<GoodRow> rows,
                            ReadRows(path, options.max_rows_per_file));
    for (size_t i = 0; i < rows.size(); ++i) {
      const GoodRow& row = rows[i];
      const bool out = held_out(row.hash);
      samples.push_back({ExtractFeatures(row.prompt, row.answer), true, -1, out});
      // The kind that the row's hash names, or the next that does something.
      const std::vector<std::string>& kinds = DamageKinds();
      for (size_t k = 0; k < kinds.size(); ++k) {
        const size_t kind = (row.hash / 7 + k) % kinds.size();
        const std::string damaged = Damage(kinds[kind], row.prompt, row.answer,
                                           rows[(i + 1) % rows.size()].answer, row.hash);
        if (damaged.empty()) continue;
        samples.push_back(
            {ExtractFeatures(row.prompt, damaged), false, static_cast<int>(kind), out});
        break;
      }
    }
  }
  for (const std::string& path : options.bad) {
    HEARTH_ASSIGN_OR_RETURN(const std::vector<GoodRow> rows,
                            ReadRows(path, options.max_rows_per_file));
    for (const GoodRow& row : rows)
      samples.push_back({ExtractFeatures(row.prompt, row.answer), false, -1, held_out(row.hash)});
  }
  return samples;
}

}  // namespace

Result<QualityTrainingReport> TrainQuality(const QualityTrainingOptions& options) {
  const std::vector<std::string>& kinds = DamageKinds();
  const double steps = options.leave_one_out ? static_cast<double>(kinds.size()) + 2 : 2;
  const auto go_on = [&](double step) {
    return !options.on_progress || options.on_progress(step / steps);
  };
  const auto stopped = [] { return MakeError(ErrorCode::kCancelled, "stopped"); };
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Sample> samples, MakeSamples(options));
  QualityTrainingReport report;
  for (const Sample& sample : samples)
    ++(sample.held_out ? (sample.good ? report.held_out_good : report.held_out_bad)
                       : (sample.good ? report.train_good : report.train_bad));
  if (report.train_good < kMinGoodRows || report.held_out_good == 0)
    return MakeError(ErrorCode::kInvalidArgument,
                     "the quality classifier needs " + std::to_string(kMinGoodRows) +
                         " good rows with answers, the files have " +
                         std::to_string(report.train_good + report.held_out_good));
  if (!go_on(1)) return stopped();

  report.classifier = QualityClassifier::FromWeights(Fit(samples, options.epochs, -1), 0);
  const HeldOut scores = ScoreHeldOut(report.classifier, samples);
  const double threshold = ThresholdFor(scores.good, options.keep_good);
  report.classifier.set_threshold(threshold);
  report.auc = Auc(scores.good, scores.bad);
  report.good_removed = ShareBelow(scores.good, threshold);
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    report.found[kinds[kind]] = ShareBelow(scores.by_kind[kind], threshold);
    report.auc_by_kind[kinds[kind]] = Auc(scores.good, scores.by_kind[kind]);
  }
  for (size_t kind = 0; options.leave_one_out && kind < kinds.size(); ++kind) {
    if (!go_on(2 + static_cast<double>(kind))) return stopped();
    const QualityClassifier without = QualityClassifier::FromWeights(
        Fit(samples, options.epochs, static_cast<int>(kind)), 0);
    const HeldOut unseen = ScoreHeldOut(without, samples);
    report.found_unseen[kinds[kind]] =
        ShareBelow(unseen.by_kind[kind], ThresholdFor(unseen.good, options.keep_good));
  }
  return report;
}

}  // namespace hearth::forge
