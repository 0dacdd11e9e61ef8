#include "runtime/tokenizer/token_roles.h"

#include <string_view>

namespace hearth {
namespace {

// Written with escapes: \xEF\xBD\x9C is U+FF5C, the wide bar of DeepSeek's marks, and \xE2\x96\x81
// is U+2581.
constexpr std::string_view kEndSpellings[] = {
    "<|eot_id|>",  // Llama 3
    // Llama 3, before a tool's answer
    "<|eom_id|>",
    "<|im_end|>",       // ChatML: Qwen, SmolLM
    "<|end|>",          // Phi 3
    "<end_of_turn>",    // Gemma
    "<eos>",            // Gemma
    "<|endoftext|>",    // GPT-2 and many after it
    "<|end_of_text|>",  // Llama 3 base, Granite
    "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<end_of_utterance>",  // SmolVLM
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",  // DeepSeek
    // a completed hole in code, and
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>",
    "<reponame>",    // the next repository
    "<|file_sep|>",  // or file
};

// Only where the file itself calls it a control token: it is also HTML for "end of strikethrough".
constexpr std::string_view kSentenceEnd = "</s>";

bool LooksLikeControl(std::string_view text) {
  if (text == "<start_of_turn>") return true;
  for (const std::string_view bar : {"|", "\xEF\xBD\x9C"}) {
    const size_t edge = 1 + bar.size();
    if (text.size() > 2 * edge && text.front() == '<' && text.back() == '>' &&
        text.substr(1).starts_with(bar) && text.substr(0, text.size() - 1).ends_with(bar)) {
      return true;
    }
  }
  return false;
}

}  // namespace

TokenRoles ResolveRoles(const TokenizerTables& tables, const RoleDefaults& defaults, Vocab& vocab) {
  TokenRoles roles;
  const auto or_default = [&](std::optional<TokenId> id, std::optional<TokenId> fallback) {
    if (!id && fallback && vocab.Contains(*fallback)) id = fallback;
    return id;
  };
  roles.bos = or_default(tables.bos, defaults.bos);
  roles.eos = or_default(tables.eos, defaults.eos);
  roles.adds_bos = tables.add_bos.value_or(defaults.adds_bos) && roles.bos.has_value();
  roles.adds_eos = tables.add_eos.value_or(defaults.adds_eos) && roles.eos.has_value();

  for (TokenId id = 0; id < vocab.size(); ++id) {
    if (vocab.Type(id) == TokenType::kUserDefined && LooksLikeControl(vocab.Text(id))) {
      vocab.SetType(id, TokenType::kControl);
    }
  }

  roles.ends_generation.assign(static_cast<size_t>(vocab.size()), false);
  for (const auto id :
       {roles.eos, tables.eot, tables.eom, tables.fim_pad, tables.fim_repo, tables.fim_separator}) {
    if (id) roles.ends_generation[*id] = true;
  }
  for (const std::string_view spelling : kEndSpellings) {
    const auto id = vocab.Find(spelling);
    if (!id) continue;
    roles.ends_generation[*id] = true;
    vocab.SetType(*id, TokenType::kControl);
  }
  if (const auto id = vocab.Find(kSentenceEnd); id && vocab.Type(*id) == TokenType::kControl) {
    roles.ends_generation[*id] = true;
  }
  return roles;
}

}  // namespace hearth
