// hearth run: one prompt, one answer.

#include <memory>
#include <string>

#include "apps/hearth/chat_session.h"
#include "apps/hearth/commands.h"
#include "apps/hearth/generation.h"
#include "apps/hearth/interrupt.h"
#include "apps/hearth/json_output.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/sampling_options.h"
#include "apps/hearth/terminal.h"

namespace hearth {
namespace {

struct RunFlags {
  ModelFlags model;
  GenerationSettings settings;
  std::string prompt;
  bool has_prompt = false;
  std::string system;
  std::string session;
  bool raw = false;
  bool special = false;
  bool json = false;
  bool stats = false;
};

// The argument, and what comes through standard input below it.
Result<std::string> WholePrompt(const RunFlags& flags) {
  if (StdinIsTerminal()) return flags.prompt;
  HEARTH_ASSIGN_OR_RETURN(std::string input, ReadStdin());
  if (!flags.raw) {
    while (!input.empty() && (input.back() == '\n' || input.back() == '\r')) input.pop_back();
  }
  if (!flags.has_prompt) return input;
  return input.empty() ? flags.prompt : flags.prompt + (flags.raw ? "" : "\n\n") + input;
}

// What came before, if anything did, and the prompt.
Result<Conversation> BeginConversation(const RunFlags& flags, EngineBackend& backend,
                                       const std::string& prompt) {
  Conversation conversation;
  if (!flags.session.empty()) {
    HEARTH_ASSIGN_OR_RETURN(ChatSession session, LoadOrBeginChatSession(backend, flags.session));
    if (!session.kv_note.empty()) Note(session.kv_note);
    conversation = std::move(session.conversation);
  }
  if (!flags.system.empty()) conversation.SetSystem(flags.system);
  conversation.AddUser(prompt);
  return conversation;
}

Result<std::vector<TokenId>> PromptTokens(const RunFlags& flags, const EngineBackend& backend,
                                          const Conversation& conversation,
                                          const std::string& prompt) {
  if (flags.raw) return backend.Tokenize(prompt, /*add_special=*/true, flags.special);
  Result<RenderedPrompt> rendered = backend.RenderChat(conversation.Prompt());
  if (rendered) return std::move(rendered->tokens);
  Error error = rendered.error();
  if (!backend.card().has_chat_template) error.message += "; --raw gives it the text as it is";
  return tl::unexpected(std::move(error));
}

void PrintAnswer(const RunFlags& flags, const LoadedModel& model, const Answer& answer) {
  if (flags.json) {
    PrintJson({{"model", model.backend->card().id},
               {"text", answer.text},
               {"finish_reason", FinishReasonName(answer)},
               {"tokens", TokenCounts(answer.stats)},
               {"timings", Timings(answer.stats, model.load_ms)},
               {"seed", answer.seed}});
  } else if (answer.text.empty() || answer.text.back() != '\n') {
    Print("\n");
  }
  if (flags.stats)
    Note(DescribeStats(answer.stats) + Format("; load %.0f ms; seed ", model.load_ms) +
         std::to_string(answer.seed));
}

int Run(const RunFlags& flags) {
  if (!flags.has_prompt && StdinIsTerminal())
    return FailUsage("no prompt: hearth run \"PROMPT\", or text through standard input");
  if (flags.raw && !flags.system.empty())
    return FailUsage("--system needs the chat template, which --raw leaves out");
  if (flags.special && !flags.raw) return FailUsage("--special goes with --raw");
  if (flags.raw && !flags.session.empty())
    return FailUsage("--session keeps a conversation, which --raw does not have");
  const Result<std::string> prompt = WholePrompt(flags);
  if (!prompt) return Fail(prompt.error());
  if (prompt->empty()) return FailUsage("the prompt is empty");
  const Result<LoadedModel> model =
      LoadModel(flags.model, [](EngineOptions& options) { options.max_sequences = 1; });
  if (!model) return Fail(model.error());
  if (const ModelCard& card = model->backend->card(); !card.can_generate)
    return Fail(card.id + " is an embedding model; it generates no text");

  Result<Conversation> conversation = BeginConversation(flags, *model->backend, *prompt);
  if (!conversation) return Fail(conversation.error());
  GenerateRequest request = RequestOf(flags.settings);
  Result<std::vector<TokenId>> tokens =
      PromptTokens(flags, *model->backend, *conversation, *prompt);
  if (!tokens) return Fail(tokens.error());
  request.prompt = std::move(*tokens);
  const InterruptGuard guard(/*once=*/true);
  const Result<Answer> answer = GenerateAnswer(*model->backend, std::move(request),
                                               model->backend->engine().options().max_batch_tokens,
                                               [&](std::string_view text) {
                                                 if (flags.json) return;
                                                 PrintUntrusted(text);
                                                 FlushOutput();
                                               });
  if (!answer) return Fail(answer.error());
  PrintAnswer(flags, *model, *answer);
  // A prompt that was stopped before any answer is not kept.
  if (!flags.session.empty() && !(answer->interrupted && answer->text.empty())) {
    conversation->AddAssistant(answer->text);
    const Status saved = SaveChatSession(*conversation, *model->backend, flags.session);
    if (!saved) return Fail(saved.error());
  }
  return answer->interrupted ? kExitInterrupted : kExitOk;
}

}  // namespace

void AddRun(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("run", "Answer one prompt in the terminal");
  const auto flags = std::make_shared<RunFlags>();
  CLI::Option* prompt = command->add_option(
      "prompt", flags->prompt, "The prompt; standard input is added below it, or is the prompt");
  AddEngineFlags(*command, flags->model);
  command->add_option("-s,--system", flags->system, "System prompt")->type_name("TEXT");
  command
      ->add_option("--session", flags->session,
                   "Go on with the conversation in this file, if it is there, and keep it there")
      ->type_name("FILE");
  command->add_flag("--raw", flags->raw, "Continue the text as it is, without the chat template");
  command->add_flag("--special", flags->special,
                    "With --raw: recognise special tokens in the text");
  command->add_flag("--json", flags->json, "One JSON object at the end: text, tokens, timings");
  command->add_flag("--stats", flags->stats, "Speed on standard error at the end");
  AddSamplingFlags(*command, flags->settings);
  AddExamples(*command,
              "  hearth run \"Write a haiku about rain\"\n"
              "  hearth run \"Summarise this:\" < notes.txt\n"
              "  git diff | hearth run \"Write a commit message\" --temperature 0\n"
              "  hearth run --session trip.json \"And in winter?\"\n"
              "  hearth run --raw \"Once upon a time\" --max-tokens 64 --seed 7\n"
              "  hearth run --json \"Name three rivers\" | jq -r .text");
  command->callback([&action, flags, prompt] {
    flags->has_prompt = prompt->count() > 0;
    action = [flags] { return Run(*flags); };
  });
}

}  // namespace hearth
