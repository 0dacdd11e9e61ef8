#include "apps/hearth/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <filesystem>

#include "apps/hearth/interrupt.h"
#include "apps/hearth/terminal.h"

namespace hearth {
namespace {

constexpr int kHistoryLines = 1000;

// Bytes of standard input one by one, so that libedit and plain reading never disagree about a
// buffer.
enum class ByteOutcome { kByte, kEnd, kInterrupted };

ByteOutcome ReadByte(char& byte) {
  for (;;) {
    if (InterruptGuard::Requested()) return ByteOutcome::kInterrupted;
    pollfd waiting{STDIN_FILENO, POLLIN, 0};
    // The timeout covers a signal between the question above and the wait.
    if (::poll(&waiting, 1, 200) <= 0) continue;
    const ssize_t size = ::read(STDIN_FILENO, &byte, 1);
    if (size == 1) return ByteOutcome::kByte;
    if (size == 0 || (errno != EINTR && errno != EAGAIN)) return ByteOutcome::kEnd;
  }
}

// libedit's source of characters: its own does not come back on a signal. 1: a character, 0: the
// end, -1: stop.
int GetCharacter(EditLine* /*editor*/, wchar_t* character) {
  std::mbstate_t state{};
  for (int length = 0; length < MB_LEN_MAX;) {
    char byte = 0;
    const ByteOutcome outcome = ReadByte(byte);
    if (outcome == ByteOutcome::kInterrupted) return -1;
    if (outcome == ByteOutcome::kEnd) return 0;
    const size_t size = std::mbrtowc(character, &byte, 1, &state);
    if (size == static_cast<size_t>(-2)) {
      ++length;  // more bytes of this character to come
      continue;
    }
    if (size == static_cast<size_t>(-1)) {
      state = {};
      length = 0;
      continue;  // no character in this locale: dropped
    }
    return 1;
  }
  return 0;
}

char* PromptOf(EditLine* editor) {
  void* prompt = nullptr;
  el_get(editor, EL_CLIENTDATA, &prompt);
  return static_cast<char*>(prompt);
}

}  // namespace

struct LineEditor::Impl {
  EditLine* editor = nullptr;
  History* history = nullptr;
  HistEvent event{};
  std::string history_path;
  std::string prompt;
};

LineEditor::LineEditor(const std::string& history_path) {
  if (!StdinIsTerminal() || !StdoutIsTerminal()) return;
  // Characters beyond ASCII need a locale that has them.
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  auto impl = std::make_unique<Impl>();
  impl->editor = el_init("hearth", stdin, stdout, stderr);
  impl->history = history_init();
  if (impl->editor == nullptr || impl->history == nullptr) {
    if (impl->editor != nullptr) el_end(impl->editor);
    if (impl->history != nullptr) history_end(impl->history);
    return;
  }
  el_set(impl->editor, EL_CLIENTDATA, nullptr);
  el_set(impl->editor, EL_PROMPT, PromptOf);
  el_set(impl->editor, EL_EDITOR, "emacs");
  el_set(impl->editor, EL_GETCFN, GetCharacter);
  el_set(impl->editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_source(impl->editor, nullptr);  // the user's ~/.editrc
  ::history(impl->history, &impl->event, H_SETSIZE, kHistoryLines);
  ::history(impl->history, &impl->event, H_SETUNIQUE, 1);
  el_set(impl->editor, EL_HIST, ::history, impl->history);
  if (!history_path.empty()) {
    impl->history_path = history_path;
    ::history(impl->history, &impl->event, H_LOAD, history_path.c_str());
  }
  impl_ = std::move(impl);
}

LineEditor::~LineEditor() {
  if (!impl_) return;
  if (!impl_->history_path.empty()) {
    std::error_code error;  // a history that cannot be kept is no reason to complain
    const std::filesystem::path folder = std::filesystem::path(impl_->history_path).parent_path();
    if (std::filesystem::create_directories(folder, error)) {
      std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
    }
    ::history(impl_->history, &impl_->event, H_SAVE, impl_->history_path.c_str());
  }
  history_end(impl_->history);
  el_end(impl_->editor);
}

LineEditor::Outcome LineEditor::Read(const std::string& prompt, std::string& line) {
  line.clear();
  if (!impl_) {
    for (;;) {
      char byte = 0;
      const ByteOutcome outcome = ReadByte(byte);
      if (outcome == ByteOutcome::kInterrupted) return Outcome::kInterrupted;
      if (outcome == ByteOutcome::kEnd) return line.empty() ? Outcome::kEnd : Outcome::kLine;
      if (byte == '\n') return Outcome::kLine;
      line += byte;
    }
  }
  FlushOutput();
  impl_->prompt = prompt;
  el_set(impl_->editor, EL_CLIENTDATA, impl_->prompt.data());
  // Before the prompt shows, where libedit alone would do it right behind: a Ctrl-D typed in
  // between would be taken by the terminal and arrive as a zero byte, which ends nothing.
  el_set(impl_->editor, EL_PREP_TERM, 1);
  int count = 0;
  const char* text = el_gets(impl_->editor, &count);
  if (InterruptGuard::Requested()) {
    el_reset(impl_->editor);
    Print("\n");
    return Outcome::kInterrupted;
  }
  if (text == nullptr || count <= 0) return Outcome::kEnd;
  line.assign(text, static_cast<size_t>(count));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  if (!line.empty()) ::history(impl_->history, &impl_->event, H_ENTER, line.c_str());
  return Outcome::kLine;
}

}  // namespace hearth
