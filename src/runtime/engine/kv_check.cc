#include "runtime/engine/kv_check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "base/atomic_file.h"
#include "base/check.h"
#include "runtime/engine/describe.h"
#include "runtime/engine/kv_check_text.h"
#include "runtime/kernels/kernels.h"

namespace hearth {
namespace {

// Raised when a layout of the cache or the text changes: what older starts kept counts no more.
constexpr int kVerdictVersion = 2;
// Positions compared at once: their distributions with f16 are held in memory.
constexpr int kChunk = 32;
// Of the built-in text, what follows these is compared: before it, most keys are f16 anyway.
constexpr int kFirstCompared = 2 * kKvBlockTokens;

// Logits to log-probabilities.
void LogSoftmax(std::span<float> logits) {
  const float maximum = *std::ranges::max_element(logits);
  const double sum = Kernels().sum_exp(logits.data(), static_cast<int>(logits.size()), maximum);
  const auto offset = static_cast<float>(maximum + std::log(sum));
  for (float& logit : logits) logit -= offset;
}

// One sequence's cache, and the passes over it.
class Runner {
 public:
  static Result<Runner> Create(Decoder& decoder, KvStorage storage, size_t num_tokens) {
    std::vector<int> blocks((num_tokens + kKvBlockTokens - 1) / kKvBlockTokens);
    std::iota(blocks.begin(), blocks.end(), 0);
    HEARTH_ASSIGN_OR_RETURN(
        KvCacheStorage kv,
        KvCacheStorage::Create(decoder.kv_shape(storage), static_cast<int>(blocks.size())));
    return Runner(decoder, std::move(kv), std::move(blocks));
  }

  // Log-probabilities [tokens.size()][vocab_size] behind the tokens, which stand at `start`.
  void Run(std::span<const TokenId> tokens, int start, std::vector<float>* logprobs) {
    const auto count = static_cast<int>(tokens.size());
    const SequenceSlice slice{tokens, start, blocks_, count};
    decoder_->Forward({&slice, 1}, kv_);
    const size_t vocab_size = decoder_->num_logits();
    logprobs->resize(count * vocab_size);
    for (int row = 0; row < count; row += decoder_->max_logits()) {
      const int rows = std::min(decoder_->max_logits(), count - row);
      const float* logits = decoder_->Logits(row, rows);
      for (int i = 0; i < rows; ++i, logits += decoder_->logits_stride()) {
        const std::span<float> out(logprobs->data() + (row + i) * vocab_size, vocab_size);
        std::copy(logits, logits + vocab_size, out.begin());
        LogSoftmax(out);
      }
    }
  }

 private:
  Runner(Decoder& decoder, KvCacheStorage kv, std::vector<int> blocks)
      : decoder_(&decoder), kv_(std::move(kv)), blocks_(std::move(blocks)) {}
  Decoder* decoder_;
  KvCacheStorage kv_;
  std::vector<int> blocks_;
};

size_t MostLikely(std::span<const float> logprobs) {
  return static_cast<size_t>(std::ranges::max_element(logprobs) - logprobs.begin());
}

}  // namespace

Result<KvAgreement> CompareDecoders(Decoder& reference, Decoder& decoder,
                                    std::span<const TokenId> tokens, int first, KvStorage storage,
                                    const std::function<void(double)>& on_progress) {
  const auto num_tokens = static_cast<int>(tokens.size()) - 1;  // the last is only predicted
  HEARTH_CHECK(first >= 0 && first < num_tokens);
  HEARTH_CHECK(reference.num_logits() == decoder.num_logits());
  HEARTH_ASSIGN_OR_RETURN(Runner expected_run,
                          Runner::Create(reference, KvStorage::kF16, tokens.size()));
  HEARTH_ASSIGN_OR_RETURN(Runner actual_run, Runner::Create(decoder, storage, tokens.size()));
  const size_t vocab_size = decoder.num_logits();
  KvAgreement result;
  std::vector<float> expected, actual;
  const int most = std::min({kChunk, decoder.max_batch_tokens(), reference.max_batch_tokens()});
  for (int start = 0; start < num_tokens; start += most) {
    const std::span<const TokenId> chunk =
        tokens.subspan(start, std::min(most, num_tokens - start));
    expected_run.Run(chunk, start, &expected);
    actual_run.Run(chunk, start, &actual);
    for (size_t i = 0; i < chunk.size(); ++i) {
      const int position = start + static_cast<int>(i);
      if (position < first) continue;
      const std::span<const float> p(&expected[i * vocab_size], vocab_size),
          q(&actual[i * vocab_size], vocab_size);
      double kl = 0;
      for (size_t token = 0; token < vocab_size; ++token)
        kl += std::exp(static_cast<double>(p[token])) * (p[token] - q[token]);
      result.kl += kl;
      result.top1 += MostLikely(p) == MostLikely(q) ? 1 : 0;
      result.nll -= p[tokens[position + 1]];
      result.nll_reduced -= q[tokens[position + 1]];
      ++result.num_positions;
    }
    if (on_progress) on_progress(static_cast<double>(start + chunk.size()) / num_tokens);
  }
  for (double* sum : {&result.kl, &result.top1, &result.nll, &result.nll_reduced})
    *sum /= result.num_positions;
  return result;
}

Result<KvAgreement> CompareKv(Decoder& decoder, std::span<const TokenId> tokens, int first,
                              KvStorage storage, const std::function<void(double)>& on_progress) {
  return CompareDecoders(decoder, decoder, tokens, first, storage, on_progress);
}

Result<KvAgreement> CompareKv(const std::string& path, const EngineOptions& options,
                              std::string_view text, int window) {
  HEARTH_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, Tokenizer::FromGguf(file));
  std::vector<TokenId> tokens = tokenizer->Encode(text, /*add_special=*/true);
  if (static_cast<int>(tokens.size()) < window) {
    return MakeError(ErrorCode::kInvalidArgument, "the text has " + std::to_string(tokens.size()) +
                                                      " tokens, the window " +
                                                      std::to_string(window));
  }
  tokens.resize(window);
  ThreadPool pool(options.num_threads);
  DecoderOptions decoder_options;
  decoder_options.integer_activations = options.activations == ActivationType::kInt8;
  decoder_options.image = {options.cache_dir, options.use_disk_cache, options.on_load_progress};
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Decoder> decoder,
                          Decoder::Load(file, pool, decoder_options));
  return CompareKv(*decoder, tokens, window / 2, StorageOf(options.kv_type),
                   options.on_kv_check_progress);
}

bool IsGoodEnough(const KvAgreement& agreement) {
  return agreement.kl <= kMaxKvKl && agreement.top1 >= kMinKvTop1;  // false for NaN
}

const char* KvTypeName(KvType type) {
  switch (type) {
    case KvType::kF16:
      return "f16";
    case KvType::kInt8:
      return "int8";
    case KvType::kInt8Int4:
      return "int8-int4";
    case KvType::kInt4:
      break;
  }
  return "int4";
}

std::optional<KvType> FinerKvType(KvType type) {
  switch (type) {
    case KvType::kInt4:
      return KvType::kInt8Int4;
    case KvType::kInt8Int4:
      return KvType::kInt8;
    case KvType::kInt8:
      return KvType::kF16;
    case KvType::kF16:
      break;
  }
  return std::nullopt;
}

std::string KvVerdicts::PathOf(KvType type) const {
  return folder_ + "/" + model_key_ + "-" + KvTypeName(type) + "-" + Kernels().name + ".txt";
}

std::optional<KvAgreement> KvVerdicts::Find(KvType type) const {
  if (folder_.empty()) return std::nullopt;
  std::ifstream in(PathOf(type));
  std::string word;
  int version = 0;
  KvAgreement agreement;
  if (!(in >> word >> version >> agreement.kl >> agreement.top1 >> agreement.num_positions) ||
      word != "hearth-kv-check" || version != kVerdictVersion || agreement.num_positions < 1) {
    return std::nullopt;
  }
  return agreement;
}

void KvVerdicts::Keep(KvType type, const KvAgreement& agreement) const {
  // NaN is not read back; what is that bad may be measured again
  if (folder_.empty() || std::isnan(agreement.kl)) return;
  std::error_code ignored;
  std::filesystem::create_directories(folder_, ignored);
  auto file = AtomicFile::Create(PathOf(type));
  if (!file) return;
  char text[128];
  const int size =
      std::snprintf(text, sizeof text, "hearth-kv-check %d %.8f %.6f %d\n", kVerdictVersion,
                    agreement.kl, agreement.top1, agreement.num_positions);
  if (file->Write(std::as_bytes(std::span(text, static_cast<size_t>(size)))))
    static_cast<void>(file->Commit());
}

Result<KvChoice> ChooseKvType(KvType asked, const KvVerdicts& verdicts, const MeasureKv& measure) {
  KvChoice choice;
  choice.type = asked;
  while (choice.type != KvType::kF16) {
    choice.agreement = verdicts.Find(choice.type);
    if (!choice.agreement) {
      HEARTH_ASSIGN_OR_RETURN(choice.agreement, measure(choice.type));
      verdicts.Keep(choice.type, *choice.agreement);
    }
    if (IsGoodEnough(*choice.agreement)) return choice;
    char why[160];
    std::snprintf(why, sizeof why,
                  "%s changes what this model says too much (KL %.4f, top-1 %.1f%%)",
                  KvTypeName(choice.type), choice.agreement->kl, 100 * choice.agreement->top1);
    choice.note += (choice.note.empty() ? "" : "; ") + std::string(why);
    choice.type = *FinerKvType(choice.type);
    choice.agreement.reset();
  }
  return choice;
}

Result<KvChoice> ChooseKvType(KvType asked, const KvVerdicts& verdicts, Decoder& decoder,
                              const Tokenizer& tokenizer, int context_length,
                              const std::function<void(double)>& on_progress) {
  return ChooseKvType(asked, verdicts, [&](KvType type) -> Result<KvAgreement> {
    std::vector<TokenId> tokens = tokenizer.Encode(kKvCheckText, /*add_special=*/true);
    // a tokenizer of bytes needs as many tokens as there are letters
    constexpr int kMostTokens = 1024;
    const int most = std::min(context_length, kMostTokens);
    if (static_cast<int>(tokens.size()) > most) tokens.resize(most);
    const auto num_tokens = static_cast<int>(tokens.size());
    if (num_tokens < 2) return KvAgreement{0, 1, 0, 0, 1};  // no context to get wrong
    return CompareKv(decoder, tokens, std::min(kFirstCompared, num_tokens / 2 - 1), StorageOf(type),
                     on_progress);
  });
}

KvChoice KnownKvChoice(KvType asked, const KvVerdicts& verdicts) {
  bool unknown = false;
  auto choice = ChooseKvType(asked, verdicts, [&](KvType) -> Result<KvAgreement> {
    unknown = true;
    return KvAgreement{0, 1, 0, 0, 0};
  });
  if (unknown) choice->agreement.reset();
  return *choice;
}

}  // namespace hearth
