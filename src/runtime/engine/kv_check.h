#pragma once
// How much a reduced KV type changes what a model says, and which type a model is served with: a
// short fixed text is run with f16 and with the type, and where the two differ too much a finer
// type takes its place. The figures are kept in the cache folder, so that only the first start
// measures. Threads: one at a time; runs on the decoder's team.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/engine/engine.h"
#include "runtime/model/decoder.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

// Of the next-token distributions with a reduced KV cache against those with f16.
struct KvAgreement {
  double kl = 0;           // mean KL divergence, natural log
  double top1 = 0;         // share of positions with the same most likely token
  double nll = 0;          // mean negative log-probability of the text with f16
  double nll_reduced = 0;  // and with the reduced type; not kept on disk
  int num_positions = 0;
};

// Runs `tokens` through `reference` with f16 and through `decoder` with `storage` (the "reduced"
// one in the figures) and compares what follows each of them from position `first` on. Requires 0
// <= first < tokens.size() - 1 and vocabularies of one size.
// `on_progress` may be empty; else it is called with 0 to 1. Errors: kResourceExhausted.
Result<KvAgreement> CompareDecoders(Decoder& reference, Decoder& decoder,
                                    std::span<const TokenId> tokens, int first, KvStorage storage,
                                    const std::function<void(double)>& on_progress = {});

// Runs `tokens` with both types and compares what follows each of them from position `first` on.
// Requires 0 <= first < tokens.size() - 1. Progress and errors as above.
Result<KvAgreement> CompareKv(Decoder& decoder, std::span<const TokenId> tokens, int first,
                              KvStorage storage,
                              const std::function<void(double)>& on_progress = {});

// The same for a model file, over the first `window` tokens of a text; what follows the middle is
// compared; both kinds of progress in `options` are told. Errors: as Engine::Load; kInvalidArgument
// when the text is shorter.
Result<KvAgreement> CompareKv(const std::string& path, const EngineOptions& options,
                              std::string_view text, int window);

// A type is good enough up to here.
inline constexpr double kMaxKvKl = 0.02;
inline constexpr double kMinKvTop1 = 0.9;
bool IsGoodEnough(const KvAgreement& agreement);

// "f16", "int8", "int8-int4", "int4".
const char* KvTypeName(KvType type);
// What takes the place of a type that is not good enough; none for f16.
std::optional<KvType> FinerKvType(KvType type);

// Where figures are kept: one small file for each model (by content), type and kernels.
class KvVerdicts {
 public:
  // `folder` empty: nothing is kept.
  KvVerdicts(std::string folder, std::string model_key)
      : folder_(std::move(folder)), model_key_(std::move(model_key)) {}

  std::optional<KvAgreement> Find(KvType type) const;
  // What cannot be kept is measured again next time.
  void Keep(KvType type, const KvAgreement& agreement) const;

 private:
  std::string PathOf(KvType type) const;
  std::string folder_, model_key_;
};

struct KvChoice {
  KvType type = KvType::kF16;
  std::optional<KvAgreement> agreement;  // of `type`; none: f16, or not measured
  std::string note;                      // why it is not the type asked for; empty: it is
};

// The type asked for, or the first finer one that is good enough.
using MeasureKv = std::function<Result<KvAgreement>(KvType)>;
Result<KvChoice> ChooseKvType(KvType asked, const KvVerdicts& verdicts, const MeasureKv& measure);

// The same with the built-in text, whose tokens behind `context_length` are left out.
Result<KvChoice> ChooseKvType(KvType asked, const KvVerdicts& verdicts, Decoder& decoder,
                              const Tokenizer& tokenizer, int context_length,
                              const std::function<void(double)>& on_progress = {});

// Without a model: what earlier starts found out.
KvChoice KnownKvChoice(KvType asked, const KvVerdicts& verdicts);

}  // namespace hearth
