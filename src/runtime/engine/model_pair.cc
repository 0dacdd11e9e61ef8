#include "runtime/engine/model_pair.h"

#include "base/thread_pool.h"
#include "runtime/engine/describe.h"
#include "runtime/gguf/gguf.h"

namespace hearth {
namespace {

// A token's spelling must be the same in both, or their distributions are about different things.
Status CheckSameVocabulary(const Tokenizer& reference, const Tokenizer& tokenizer,
                           const std::string& reference_path, const std::string& path) {
  const auto differ = [&](const std::string& how) -> Status {
    return MakeError(ErrorCode::kInvalidArgument,
                     reference_path + " and " + path + " have different vocabularies: " + how);
  };
  if (reference.vocab_size() != tokenizer.vocab_size()) {
    return differ(std::to_string(reference.vocab_size()) + " and " +
                  std::to_string(tokenizer.vocab_size()) + " tokens");
  }
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    if (reference.TokenText(id) != tokenizer.TokenText(id))
      return differ("token " + std::to_string(id) + " is not the same text");
  }
  return {};
}

}  // namespace

struct ModelPair::Impl {
  GgufFile reference_file, file;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Decoder> reference, decoder;
  KvStorage storage;
};

ModelPair::ModelPair(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ModelPair::~ModelPair() = default;

Result<std::unique_ptr<ModelPair>> ModelPair::Load(const std::string& reference_path,
                                                   const std::string& path,
                                                   const EngineOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(GgufFile reference_file, GgufFile::Open(reference_path));
  HEARTH_ASSIGN_OR_RETURN(GgufFile file, GgufFile::Open(path));
  auto impl = std::make_unique<Impl>(
      Impl{std::move(reference_file), std::move(file), nullptr, nullptr, nullptr, nullptr, {}});
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> reference_tokenizer,
                          Tokenizer::FromGguf(impl->reference_file));
  HEARTH_ASSIGN_OR_RETURN(impl->tokenizer, Tokenizer::FromGguf(impl->file));
  HEARTH_RETURN_IF_ERROR(
      CheckSameVocabulary(*reference_tokenizer, *impl->tokenizer, reference_path, path));
  impl->pool = std::make_unique<ThreadPool>(options.num_threads);
  impl->storage = StorageOf(options.kv_type);
  DecoderOptions decoder_options;
  decoder_options.integer_activations = options.activations == ActivationType::kInt8;
  decoder_options.image = {options.cache_dir, options.use_disk_cache, options.on_load_progress};
  HEARTH_ASSIGN_OR_RETURN(impl->reference,
                          Decoder::Load(impl->reference_file, *impl->pool, decoder_options));
  HEARTH_ASSIGN_OR_RETURN(impl->decoder, Decoder::Load(impl->file, *impl->pool, decoder_options));
  if (impl->reference->num_logits() != impl->decoder->num_logits()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     reference_path + " has " + std::to_string(impl->reference->num_logits()) +
                         " logits, " + path + " has " +
                         std::to_string(impl->decoder->num_logits()));
  }
  return std::unique_ptr<ModelPair>(new ModelPair(std::move(impl)));
}

std::vector<TokenId> ModelPair::Encode(std::string_view text) const {
  return impl_->tokenizer->Encode(text, /*add_special=*/true);
}

Result<KvAgreement> ModelPair::Compare(std::span<const TokenId> tokens, int first) {
  if (first < 0 || first >= static_cast<int>(tokens.size()) - 1) {
    return MakeError(ErrorCode::kInvalidArgument, "position " + std::to_string(first) + " of " +
                                                      std::to_string(tokens.size()) +
                                                      " tokens has nothing behind it to compare");
  }
  return CompareDecoders(*impl_->reference, *impl_->decoder, tokens, first, impl_->storage);
}

}  // namespace hearth
