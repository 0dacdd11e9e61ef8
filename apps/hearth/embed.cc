// hearth embed: sentence embeddings, one vector per argument or per line of standard input.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "apps/hearth/commands.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/progress.h"
#include "apps/hearth/terminal.h"

namespace hearth {
namespace {

struct EmbedFlags {
  ModelFlags model;
  std::vector<std::string> text;
  bool json = false;
};

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    lines.push_back(std::move(line));
    at = end + 1;
  }
  return lines;
}

int Embed(const EmbedFlags& flags) {
  if (flags.text.empty() && StdinIsTerminal())
    return FailUsage("no text: hearth embed \"TEXT\", or lines through standard input");
  std::vector<std::string> texts = flags.text;
  if (texts.empty()) {
    const Result<std::string> input = ReadStdin();
    if (!input) return Fail(input.error());
    texts = Lines(*input);
  }
  const Result<LoadedModel> model = LoadModel(flags.model);
  if (!model) return Fail(model.error());
  Json embeddings = Json::array();
  ProgressBar bar("Embedding");
  for (size_t i = 0; i < texts.size(); ++i) {
    bar.Update(static_cast<double>(i) / static_cast<double>(texts.size()));
    const Result<EmbeddingResult> result = model->backend->Embed(texts[i]);
    if (!result) {
      bar.Clear();
      return Fail(texts.size() == 1
                      ? result.error().message
                      : "text " + std::to_string(i + 1) + ": " + result.error().message);
    }
    if (flags.json) {
      embeddings.push_back({{"index", i},
                            {"text", texts[i]},
                            {"num_tokens", result->num_tokens},
                            {"embedding", result->values}});
      continue;
    }
    std::string line;
    // Nine digits give a float back exactly.
    for (const float value : result->values)
      line += Format(line.empty() ? "%.9g" : " %.9g", static_cast<double>(value));
    if (StdoutIsTerminal()) bar.Clear();
    Print(line + "\n");
    if (StdoutIsTerminal()) FlushOutput();  // before the bar comes back below it
  }
  bar.Clear();
  if (flags.json)
    PrintJson({{"model", model->backend->card().id}, {"embeddings", std::move(embeddings)}});
  return kExitOk;
}

}  // namespace

void AddEmbed(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("embed", "Turn sentences into vectors (needs an embedding model)");
  const auto flags = std::make_shared<EmbedFlags>();
  command
      ->add_option("text", flags->text, "One text each; without any, the lines of standard input")
      ->type_name("TEXT");
  AddModelFlag(*command, flags->model);
  AddThreadsFlag(*command, flags->model);
  command->add_flag("--json", flags->json, "One JSON object instead of a line of numbers per text");
  AddExamples(*command,
              "  hearth embed --model all-MiniLM-L6-v2.gguf \"a cat on a mat\"\n"
              "  hearth embed --model all-MiniLM-L6-v2.gguf --json < sentences.txt > vectors.json");
  command->callback([&action, flags] { action = [flags] { return Embed(*flags); }; });
}

}  // namespace hearth
