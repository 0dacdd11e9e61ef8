#include "runtime/tokenizer/tokenizer_tables.h"

#include <cmath>
#include <limits>

#include "runtime/gguf/gguf.h"

namespace hearth {
namespace {

Result<std::optional<TokenId>> ReadId(const GgufFile& file, std::string_view name,
                                      size_t num_tokens) {
  const std::string key = "tokenizer.ggml." + std::string(name) + "_token_id";
  if (!file.Has(key)) return std::optional<TokenId>();
  HEARTH_ASSIGN_OR_RETURN(const int64_t id, file.GetInt(key));
  // Some converters write -1 for "none" into an unsigned field.
  if (id == -1 || id == std::numeric_limits<uint32_t>::max()) return std::optional<TokenId>();
  if (id < 0 || static_cast<uint64_t>(id) >= num_tokens) {
    return MakeError(ErrorCode::kCorrupt, key + " is " + std::to_string(id) + ", but there are " +
                                              std::to_string(num_tokens) + " tokens");
  }
  return std::optional<TokenId>(static_cast<TokenId>(id));
}

Result<std::optional<bool>> ReadFlag(const GgufFile& file, std::string_view name) {
  const std::string key = "tokenizer.ggml." + std::string(name);
  if (!file.Has(key)) return std::optional<bool>();
  HEARTH_ASSIGN_OR_RETURN(const bool flag, file.GetBool(key));
  return std::optional<bool>(flag);
}

float ToFloat(double value) {
  constexpr double kMax = std::numeric_limits<float>::max();
  if (!(std::abs(value) <= kMax)) {
    return value > 0 ? std::numeric_limits<float>::infinity()
                     : -std::numeric_limits<float>::infinity();
  }
  return static_cast<float>(value);
}

Status ReadArrays(const GgufFile& file, TokenizerTables& tables) {
  HEARTH_ASSIGN_OR_RETURN(const auto* tokens, file.GetStringArray("tokenizer.ggml.tokens"));
  tables.tokens = *tokens;
  if (file.Has("tokenizer.ggml.merges")) {
    HEARTH_ASSIGN_OR_RETURN(const auto* merges, file.GetStringArray("tokenizer.ggml.merges"));
    tables.merges = *merges;
  }
  if (file.Has("tokenizer.ggml.token_type")) {
    HEARTH_ASSIGN_OR_RETURN(const GgufArray* types, file.GetArray("tokenizer.ggml.token_type"));
    const auto* values = std::get_if<std::vector<int64_t>>(&types->values);
    if (values == nullptr) {
      return MakeError(ErrorCode::kCorrupt,
                       "tokenizer.ggml.token_type is not an array of integers");
    }
    tables.types = *values;
  }
  if (file.Has("tokenizer.ggml.scores")) {
    HEARTH_ASSIGN_OR_RETURN(const GgufArray* scores, file.GetArray("tokenizer.ggml.scores"));
    if (const auto* floats = std::get_if<std::vector<double>>(&scores->values)) {
      for (const double score : *floats) tables.scores.push_back(ToFloat(score));
    } else if (const auto* integers = std::get_if<std::vector<int64_t>>(&scores->values)) {
      for (const int64_t score : *integers) tables.scores.push_back(static_cast<float>(score));
    } else {
      return MakeError(ErrorCode::kCorrupt, "tokenizer.ggml.scores is not an array of numbers");
    }
  }
  return {};
}

}  // namespace

Result<TokenizerTables> ReadTokenizerTables(const GgufFile& file) {
  TokenizerTables tables;
  HEARTH_ASSIGN_OR_RETURN(tables.model, file.GetString("tokenizer.ggml.model"));
  if (file.Has("tokenizer.ggml.pre")) {
    HEARTH_ASSIGN_OR_RETURN(tables.pre, file.GetString("tokenizer.ggml.pre"));
  }
  HEARTH_RETURN_IF_ERROR(ReadArrays(file, tables));

  const size_t num_tokens = tables.tokens.size();
  HEARTH_ASSIGN_OR_RETURN(tables.bos, ReadId(file, "bos", num_tokens));
  HEARTH_ASSIGN_OR_RETURN(tables.eos, ReadId(file, "eos", num_tokens));
  HEARTH_ASSIGN_OR_RETURN(tables.eot, ReadId(file, "eot", num_tokens));
  HEARTH_ASSIGN_OR_RETURN(tables.eom, ReadId(file, "eom", num_tokens));
  HEARTH_ASSIGN_OR_RETURN(tables.unknown, ReadId(file, "unknown", num_tokens));
  // the format's spelling
  HEARTH_ASSIGN_OR_RETURN(tables.separator, ReadId(file, "seperator", num_tokens));
  HEARTH_ASSIGN_OR_RETURN(tables.cls, ReadId(file, "cls", num_tokens));
  HEARTH_ASSIGN_OR_RETURN(tables.fim_pad, ReadId(file, "fim_pad", num_tokens));
  HEARTH_ASSIGN_OR_RETURN(tables.fim_repo, ReadId(file, "fim_rep", num_tokens));
  HEARTH_ASSIGN_OR_RETURN(tables.fim_separator, ReadId(file, "fim_sep", num_tokens));
  HEARTH_ASSIGN_OR_RETURN(tables.add_bos, ReadFlag(file, "add_bos_token"));
  HEARTH_ASSIGN_OR_RETURN(tables.add_eos, ReadFlag(file, "add_eos_token"));
  HEARTH_ASSIGN_OR_RETURN(tables.add_separator, ReadFlag(file, "add_sep_token"));
  HEARTH_ASSIGN_OR_RETURN(tables.add_space_prefix, ReadFlag(file, "add_space_prefix"));
  HEARTH_ASSIGN_OR_RETURN(tables.lowercase, ReadFlag(file, "normalizer.lowercase"));
  HEARTH_ASSIGN_OR_RETURN(tables.strip_accents, ReadFlag(file, "normalizer.strip_accents"));
  return tables;
}

}  // namespace hearth
