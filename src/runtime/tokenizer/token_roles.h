#pragma once
// Which tokens begin, end and structure a prompt: from the file's ids, and from the spellings that
// model families are known by where the file is silent. The lists follow llama.cpp's, so that a
// model stops here where it stops there.

#include <optional>
#include <vector>

#include "runtime/tokenizer/tokenizer_tables.h"
#include "runtime/tokenizer/vocab.h"

namespace hearth {

struct TokenRoles {
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  bool adds_bos = false;
  bool adds_eos = false;
  std::vector<bool> ends_generation;  // [vocab.size()]
};

// What a kind of tokenizer assumes where the file says nothing.
struct RoleDefaults {
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  bool adds_bos = false;
  bool adds_eos = false;
};

// Also corrects types in `vocab`: marks of the prompt format that a converter filed as ordinary or
// user-defined tokens become control tokens, so that a user's text cannot contain them.
TokenRoles ResolveRoles(const TokenizerTables& tables, const RoleDefaults& defaults, Vocab& vocab);

}  // namespace hearth
