// hearth chat: a conversation in the terminal, or line by line through a pipe.

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "apps/hearth/chat_input.h"
#include "apps/hearth/chat_session.h"
#include "apps/hearth/commands.h"
#include "apps/hearth/conversation.h"
#include "apps/hearth/generation.h"
#include "apps/hearth/interrupt.h"
#include "apps/hearth/line_editor.h"
#include "apps/hearth/model_options.h"
#include "apps/hearth/sampling_options.h"
#include "apps/hearth/terminal.h"

namespace hearth {
namespace {

constexpr const char* kHelp =
    "/new                 forget the conversation and begin again\n"
    "/system [TEXT]       set the system prompt, or clear it; begins again\n"
    "/set [NAME VALUE]    change a sampling setting, or list them\n"
    "/regen               answer the last message again\n"
    "/undo                take the last message and its answer back\n"
    "/save FILE           write the conversation to a file\n"
    "/load FILE           go on with a saved one\n"
    "/stats               speed of the last answer, tokens in the context\n"
    "/help                this list\n"
    "/exit                leave; so does Ctrl-D\n"
    "\n"
    "A line that ends with \\ goes on in the next; \"\"\" opens and closes a block of lines; // "
    "begins a message with a slash.\n"
    "Ctrl-C stops an answer.\n";

struct ChatFlags {
  ModelFlags model;
  GenerationSettings settings;
  std::string system;
  std::string session;
  bool stats = false;
};

class Chat {
 public:
  Chat(const ChatFlags& flags, EngineBackend& backend, LineEditor& editor)
      : backend_(backend), editor_(editor), settings_(flags.settings), show_stats_(flags.stats) {
    conversation_.SetSystem(flags.system);
  }

  // Goes on with the conversation in `path`, if there is one. Errors: those of LoadChatSession.
  Status Begin(const std::string& path) {
    HEARTH_ASSIGN_OR_RETURN(ChatSession session, LoadOrBeginChatSession(backend_, path));
    if (session.conversation.empty()) return {};
    const std::string system = conversation_.system();
    Take(std::move(session));
    if (!system.empty()) conversation_.SetSystem(system);
    return {};
  }
  // Nothing to keep, nothing written. Errors: those of SaveChatSession.
  Status Keep(const std::string& path) const {
    return conversation_.empty() ? Status() : SaveChatSession(conversation_, backend_, path);
  }

  // Until the user leaves. The exit code: a failed command or answer counts when nobody watches.
  int Run() {
    InputReader reader;
    while (!done_) {
      std::string line;
      const LineEditor::Outcome outcome = editor_.Read(reader.unfinished() ? ".. " : "> ", line);
      std::optional<ChatInput> input;
      switch (outcome) {
        case LineEditor::Outcome::kLine:
          input = reader.Push(line);
          break;
        case LineEditor::Outcome::kInterrupted:
          InterruptGuard::Reset();
          if (!editor_.interactive()) return kExitInterrupted;
          reader.Reset();
          Note("(Ctrl-D or /exit leaves)");
          break;
        case LineEditor::Outcome::kEnd:
          input = reader.Finish();
          done_ = true;
          if (editor_.interactive()) Print("\n");
          break;
      }
      if (input) Handle(*input);
      if (interrupted_ && !editor_.interactive()) return kExitInterrupted;
    }
    return failed_ && !editor_.interactive() ? kExitFailure : kExitOk;
  }

 private:
  void Handle(const ChatInput& input) {
    if (input.is_command) {
      Command(input.command);
    } else if (!Trim(input.message).empty()) {
      conversation_.AddUser(input.message);
      Reply();
    }
  }

  void Command(const ChatCommand& command) {
    const std::string& name = command.name;
    if (name == "help" || name == "?") {
      Print(kHelp);
    } else if (name == "exit" || name == "quit" || name == "bye") {
      done_ = true;
    } else if (name == "new" || name == "clear") {
      conversation_.Clear();
      Tell("A new conversation.");
    } else if (name == "system") {
      conversation_.SetSystem(command.arguments);
      conversation_.Clear();
      Tell(command.arguments.empty() ? "No system prompt; a new conversation."
                                     : "System prompt set; a new conversation.");
    } else if (name == "set") {
      Set(command.arguments);
    } else if (name == "regen") {
      if (conversation_.RewindToLastUser()) {
        Reply();
      } else {
        Complain("there is nothing to answer yet");
      }
    } else if (name == "undo") {
      if (conversation_.RewindToLastUser()) {
        conversation_.DropLast();
        Tell("Taken back.");
      } else {
        Complain("there is nothing to take back");
      }
    } else if (name == "save") {
      Save(command.arguments);
    } else if (name == "load") {
      Load(command.arguments);
    } else if (name == "stats") {
      Stats();
    } else {
      Complain("there is no command /" + name +
               "; /help lists them, and // begins a message with a slash");
    }
  }

  void Set(const std::string& arguments) {
    if (arguments.empty()) {
      Print(DescribeSettings(settings_));
      return;
    }
    const size_t end = std::min(arguments.find_first_of(" \t="), arguments.size());
    const std::string value(
        Trim(std::string_view(arguments).substr(std::min(end + 1, arguments.size()))));
    const Status set = SetSetting(settings_, arguments.substr(0, end), value);
    if (!set) Complain(set.error().message);
  }

  void Save(const std::string& path) {
    if (path.empty()) return Complain("/save needs the name of a file");
    const Status saved = SaveChatSession(conversation_, backend_, path);
    if (!saved) return Complain(saved.error().message);
    Tell("Saved to " + path + ".");
  }

  void Load(const std::string& path) {
    if (path.empty()) return Complain("/load needs the name of a file");
    Result<ChatSession> loaded = LoadChatSession(backend_, path);
    if (!loaded) return Complain(loaded.error().message);
    Take(std::move(*loaded));
  }

  void Take(ChatSession session) {
    conversation_ = std::move(session.conversation);
    if (!session.kv_note.empty()) Note(session.kv_note);
    Tell(std::to_string(conversation_.turns().size()) + " messages loaded.");
  }

  void Stats() {
    if (!last_) return Complain("no answer yet");
    Print(DescribeStats(last_->stats) + "\n");
    Print(Format("%d of %d tokens of context used; seed ",
                 last_->stats.prompt_tokens + last_->stats.completion_tokens,
                 backend_.card().context_length) +
          std::to_string(last_->seed) + "\n");
  }

  // Answers the last message, which the user sent.
  void Reply() {
    const Result<RenderedPrompt> prompt = backend_.RenderChat(conversation_.Prompt());
    if (!prompt) return GiveUp(prompt.error());
    GenerateRequest request = RequestOf(settings_);
    request.prompt = prompt->tokens;
    Result<Answer> answer =
        GenerateAnswer(backend_, std::move(request), backend_.engine().options().max_batch_tokens,
                       [](std::string_view text) {
                         PrintUntrusted(text);
                         FlushOutput();
                       });
    if (!answer) return GiveUp(answer.error());
    interrupted_ = answer->interrupted;
    InterruptGuard::Reset();
    if (!answer->text.ends_with('\n')) Print("\n");
    if (answer->interrupted) Tell("(stopped)");
    if (answer->finish_reason == FinishReason::kLength && !answer->interrupted) {
      Tell(settings_.max_tokens < 0 ? "(the context is full: /new begins again)"
                                    : "(cut off at max-tokens)");
    }
    if (show_stats_) Note(DescribeStats(answer->stats));
    // What was said before a stop stays said; a message without any answer is taken back.
    if (answer->text.empty() && answer->interrupted) {
      conversation_.DropLast();
    } else {
      conversation_.AddAssistant(answer->text);
    }
    last_ = std::move(*answer);
  }

  void GiveUp(const Error& error) {
    conversation_.DropLast();
    InterruptGuard::Reset();
    const bool is_full =
        error.code == ErrorCode::kInvalidArgument && conversation_.turns().size() >= 2;
    Complain(error.message + (is_full ? "; /new begins again" : ""));
  }

  // For people only.
  void Tell(const std::string& text) {
    if (editor_.interactive()) Note(text);
  }
  void Complain(const std::string& message) {
    failed_ = true;
    Fail(message);
  }

  EngineBackend& backend_;
  LineEditor& editor_;
  GenerationSettings settings_;
  bool show_stats_;
  Conversation conversation_;
  std::optional<Answer> last_;
  bool done_ = false;
  bool failed_ = false;
  bool interrupted_ = false;
};

int RunChat(const ChatFlags& flags) {
  const Result<LoadedModel> model =
      LoadModel(flags.model, [](EngineOptions& options) { options.max_sequences = 1; });
  if (!model) return Fail(model.error());
  const ModelCard& card = model->backend->card();
  if (!card.can_generate) return Fail(card.id + " is an embedding model; it cannot chat");
  if (!card.has_chat_template)
    return Fail(card.id + " has no chat template; hearth run --raw continues a text");
  const InterruptGuard guard(/*once=*/false);
  const std::optional<std::string> state = StateDir();
  LineEditor editor(state ? *state + "/chat_history" : std::string());
  if (editor.interactive())
    Note(card.id + ", " + std::to_string(card.context_length) +
         " tokens of context. /help lists commands.");
  Chat chat(flags, *model->backend, editor);
  if (flags.session.empty()) return chat.Run();
  if (const Status begun = chat.Begin(flags.session); !begun) return Fail(begun.error());
  const int exit_code = chat.Run();
  if (const Status kept = chat.Keep(flags.session); !kept) return Fail(kept.error());
  return exit_code;
}

}  // namespace

void AddChat(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("chat", "Talk with a model; /help in it lists its commands");
  const auto flags = std::make_shared<ChatFlags>();
  AddEngineFlags(*command, flags->model);
  command->add_option("-s,--system", flags->system, "System prompt")->type_name("TEXT");
  command
      ->add_option("--session", flags->session,
                   "Go on with the conversation in this file, if it is there, and keep it there")
      ->type_name("FILE");
  command->add_flag("--stats", flags->stats, "Speed on standard error after each answer");
  AddSamplingFlags(*command, flags->settings);
  AddExamples(*command,
              "  hearth chat\n"
              "  hearth chat --session ideas.json\n"
              "  hearth chat --model model.gguf --system \"You answer in rhyme.\"\n"
              "  printf 'My name is Ada.\\nWhat is my name?\\n' | hearth chat --temperature 0");
  command->callback([&action, flags] { action = [flags] { return RunChat(*flags); }; });
}

}  // namespace hearth
