// hearth tokenize: text to token ids and back.

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <vector>

#include "apps/hearth/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/terminal.h"
#include "runtime/gguf/gguf.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {
namespace {

struct TokenizeFlags {
  ModelFlags model;
  std::vector<std::string> text;
  bool special = false;
  bool around = false;
  bool ids = false;
  bool decode = false;
  bool json = false;
};

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// One token a line: what is no plain character is written as in a C string.
std::string Escaped(std::string_view bytes) {
  std::string text;
  const bool is_utf8 =
      ToJsonText(Json(std::string(bytes))).find("\xef\xbf\xbd") == std::string::npos;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      text += "\\n";
    } else if (c == '\t') {
      text += "\\t";
    } else if (c == '\r') {
      text += "\\r";
    } else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !is_utf8)) {
      text += Format("\\x%02x", byte);
    } else {
      text += c;
    }
  }
  return text;
}

constexpr std::string_view kIdSeparators = " ,\t\r\n[]";

// Ids in decimal, separated by blanks, commas or brackets, so that a JSON array will do.
Result<std::vector<TokenId>> ParseIds(std::string_view text, int vocab_size) {
  std::vector<TokenId> ids;
  for (;;) {
    const size_t begin = text.find_first_not_of(kIdSeparators);
    if (begin == std::string_view::npos) return ids;
    text.remove_prefix(begin);
    const std::string_view word = text.substr(0, text.find_first_of(kIdSeparators));
    TokenId id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size() || id < 0 || id >= vocab_size) {
      return MakeError(ErrorCode::kInvalidArgument, "'" + std::string(word.substr(0, 40)) +
                                                        "' is no token id: this model has 0 to " +
                                                        std::to_string(vocab_size - 1));
    }
    ids.push_back(id);
    text.remove_prefix(word.size());
  }
}

void PrintTokens(const TokenizeFlags& flags, const Tokenizer& tokenizer,
                 const std::vector<TokenId>& ids) {
  if (flags.json) {
    Json tokens = Json::array();
    for (const TokenId id : ids) {
      const std::string bytes = tokenizer.TokenBytes(id, /*show_special=*/true);
      Json token = {{"id", id}, {"text", bytes}, {"piece", tokenizer.TokenText(id)}};
      token["bytes"] = Json::array();
      for (const char c : bytes) token["bytes"].push_back(static_cast<unsigned char>(c));
      tokens.push_back(std::move(token));
    }
    PrintJson({{"count", ids.size()}, {"ids", ids}, {"tokens", std::move(tokens)}});
    return;
  }
  if (flags.ids) {
    std::string line;
    for (const TokenId id : ids) line += (line.empty() ? "" : " ") + std::to_string(id);
    Print(line + "\n");
    return;
  }
  for (const TokenId id : ids) {
    PrintUntrusted(Format("%7d  ", id) + Escaped(tokenizer.TokenBytes(id, /*show_special=*/true)) +
                   "\n");
  }
  if (StderrIsTerminal())
    Note(std::to_string(ids.size()) + (ids.size() == 1 ? " token" : " tokens"));
}

int Tokenize(const TokenizeFlags& flags) {
  if (flags.text.empty() && StdinIsTerminal())
    return FailUsage("no text: hearth tokenize \"TEXT\", or text through standard input");
  const Result<std::string> path = ResolveModelPath(flags.model.model);
  if (!path) return Fail(path.error());
  const Result<GgufFile> file = GgufFile::Open(*path);
  if (!file) return Fail(file.error());
  const Result<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::FromGguf(*file);
  if (!tokenizer) return Fail(tokenizer.error());
  const Result<std::string> text = flags.text.empty() ? ReadStdin() : Join(flags.text);
  if (!text) return Fail(text.error());
  if (!flags.decode) {
    PrintTokens(flags, **tokenizer, (*tokenizer)->Encode(*text, flags.around, flags.special));
    return kExitOk;
  }
  const Result<std::vector<TokenId>> ids = ParseIds(*text, (*tokenizer)->vocab_size());
  if (!ids) return Fail(ids.error());
  const std::string decoded = (*tokenizer)->Decode(*ids, flags.special);
  if (flags.json) {
    PrintJson({{"count", ids->size()}, {"ids", *ids}, {"text", decoded}});
  } else {
    PrintUntrusted(decoded);
    if (StdoutIsTerminal()) Print("\n");
  }
  return kExitOk;
}

}  // namespace

void AddTokenize(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("tokenize", "Show the tokens of a text, or the text of tokens");
  const auto flags = std::make_shared<TokenizeFlags>();
  command
      ->add_option("text", flags->text,
                   "The text (words are joined by spaces); without it standard input")
      ->type_name("TEXT");
  AddModelFlag(*command, flags->model);
  command->add_flag("--special", flags->special,
                    "Recognise special tokens in the text; with --decode: show them");
  command->add_flag("--around", flags->around,
                    "Add the tokens that the model wants before and after a text");
  command->add_flag("--ids", flags->ids, "Only the ids, on one line");
  command->add_flag("--decode", flags->decode, "The text is token ids: print what they stand for");
  command->add_flag("--json", flags->json,
                    "One JSON object: ids, and each token's text, piece and bytes");
  AddExamples(*command,
              "  hearth tokenize \"Hello, world\"\n"
              "  hearth tokenize --special \"<|im_start|>user\"\n"
              "  hearth tokenize --json < book.txt | jq .count\n"
              "  hearth tokenize --ids \"Hello\" | hearth tokenize --decode");
  command->callback([&action, flags] { action = [flags] { return Tokenize(*flags); }; });
}

}  // namespace hearth
