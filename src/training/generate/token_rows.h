#pragma once
// Rows of conversations whose tokens stand beside their text, as MakeConversations writes them:
// what a draft has to guess is which tokens its base chooses, and a text can be cut into others.
// Rows without tokens are tokenized like any. No torch.

#include "base/result.h"
#include "training/data/dataset.h"

namespace hearth::forge {

// As ReadDataset, but on one thread, and a row with "tokens" ([int]) and "answer_begin" is taken as
// it stands: the loss counts the tokens from answer_begin on (all but the first with
// rows.learn_prompts). Errors: as ReadDataset; a row whose tokens are no ids of the vocabulary is
// left out.
Result<Dataset> ReadTokenRows(const ChatTokenizer& chat, const DatasetOptions& options);

}  // namespace hearth::forge
