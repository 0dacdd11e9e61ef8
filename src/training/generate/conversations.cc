#include "training/generate/conversations.h"

#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "training/data/rows.h"

namespace hearth::forge {
namespace {

// Tells the random numbers of questions and answers apart.
enum Purpose : uint64_t { kQuestion = 1, kAnswer = 2, kChoice = 3 };
// An invented question gets so many tries before its place is left empty.
constexpr uint64_t kMostTries = 16;
constexpr const char* kMarker = "hearth-marks-the-users-words";

std::string Trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

class Maker {
 public:
  Maker(const ChatTokenizer& chat, const ConversationOptions& options,
        const std::function<Status(const MadeConversation&)>& sink)
      : chat_(chat), options_(options), sink_(sink) {}

  Status Begin() {
    HEARTH_RETURN_IF_ERROR(ReadPrompts());
    if (options_.num_invented > 0) {
      HEARTH_ASSIGN_OR_RETURN(header_, UserHeader(chat_));
    }
    num_places_ = next_place_ + options_.num_invented;
    return {};
  }

  std::optional<GenerationRequest> Next() {
    // Questions wait for their answers first, so that few are in flight.
    if (queue_.empty() && next_place_ < num_places_) QueueQuestion(next_place_++, 0);
    if (queue_.empty()) return std::nullopt;
    GenerationRequest request = std::move(queue_.front());
    queue_.pop_front();
    return request;
  }

  Status Done(const GenerationRequest& request, GeneratedText text) {
    const int64_t place = request.tag / 2;
    return request.tag % 2 == 0 ? QuestionDone(place, text)
                                : AnswerDone(place, request, std::move(text));
  }

  ConversationStatistics statistics;

 private:
  struct Place {
    MadeConversation conversation;
    uint64_t tries = 0;
    bool complete = false;
  };

  uint64_t Seed(int64_t place, uint64_t purpose, uint64_t attempt) const {
    return HashSeed(HashSeed(options_.seed, static_cast<uint64_t>(place), purpose), attempt, 0);
  }

  Status ReadPrompts() {
    if (options_.prompt_files.empty()) return {};
    HEARTH_ASSIGN_OR_RETURN(RowReader reader, RowReader::Open(options_.prompt_files));
    int64_t given = 0;
    while (options_.num_given == 0 || given < options_.num_given) {
      Result<std::optional<Conversation>> row = reader.Next();
      if (!row) {
        if (!reader.can_continue()) return tl::unexpected<Error>(row.error());
        ++statistics.prompts_dropped;
        continue;
      }
      if (!*row) break;
      std::vector<Message> messages;
      for (Message& message : (*row)->messages) {
        if (message.role != "system" && message.role != "user") break;
        messages.push_back(std::move(message));
      }
      if (messages.empty() || messages.back().role != "user") {
        ++statistics.prompts_dropped;
        continue;
      }
      ++given;
      for (int64_t answer = 0; answer < options_.answers_per_prompt; ++answer) {
        const int64_t place = next_place_++;
        places_[place].conversation.messages = messages;
        HEARTH_RETURN_IF_ERROR(QueueAnswer(place));
      }
    }
    return {};
  }

  void QueueQuestion(int64_t place, uint64_t attempt) {
    places_[place].tries = attempt + 1;
    queue_.push_back({place * 2, header_, options_.max_question_tokens,
                      options_.question_temperature, options_.top_p,
                      Seed(place, kQuestion, attempt)});
  }

  Status QueueAnswer(int64_t place) {
    MadeConversation& made = places_[place].conversation;
    HEARTH_ASSIGN_OR_RETURN(made.tokens, chat_.Prompt(made.messages));
    made.answer_begin = static_cast<int64_t>(made.tokens.size());
    const double choice = static_cast<double>(Seed(place, kChoice, 0) >> 11) * 0x1p-53;
    made.temperature = choice < options_.greedy_share ? 0 : options_.answer_temperature;
    queue_.push_back({place * 2 + 1, made.tokens, options_.max_answer_tokens, made.temperature,
                      options_.top_p, Seed(place, kAnswer, 0)});
    return {};
  }

  std::string TextOf(GeneratedText& text) const {
    std::vector<int32_t> tokens = text.tokens;
    if (text.stopped) tokens.pop_back();
    return chat_.tokenizer().Decode(tokens);
  }

  Status QuestionDone(int64_t place, GeneratedText& text) {
    Place& one = places_[place];
    const std::string question = Trimmed(TextOf(text));
    if (question.empty() || !text.stopped) {
      ++statistics.questions_dropped;
      if (one.tries < kMostTries) {
        QueueQuestion(place, one.tries);
        return {};
      }
      places_.erase(place);
      return Flush();
    }
    one.conversation.messages = {{"user", question}};
    return QueueAnswer(place);
  }

  Status AnswerDone(int64_t place, const GenerationRequest& request, GeneratedText text) {
    Place& one = places_[place];
    if (text.tokens.empty()) {  // the prompt alone fills the room
      ++statistics.prompts_dropped;
      places_.erase(place);
      return Flush();
    }
    MadeConversation& made = one.conversation;
    made.messages.push_back({"assistant", TextOf(text)});
    made.tokens = request.prompt;
    made.tokens.insert(made.tokens.end(), text.tokens.begin(), text.tokens.end());
    made.ended = text.stopped;
    one.complete = true;
    return Flush();
  }

  // In order, as far as they are complete.
  Status Flush() {
    while (!places_.empty() && places_.begin()->second.complete) {
      const MadeConversation& made = places_.begin()->second.conversation;
      ++statistics.conversations;
      statistics.tokens += static_cast<int64_t>(made.tokens.size());
      statistics.answer_tokens += static_cast<int64_t>(made.tokens.size()) - made.answer_begin;
      HEARTH_RETURN_IF_ERROR(sink_(made));
      places_.erase(places_.begin());
    }
    return {};
  }

  const ChatTokenizer& chat_;
  const ConversationOptions& options_;
  const std::function<Status(const MadeConversation&)>& sink_;
  std::vector<int32_t> header_;
  int64_t next_place_ = 0, num_places_ = 0;
  std::map<int64_t, Place> places_;  // begun and not written yet
  std::deque<GenerationRequest> queue_;
};

}  // namespace

std::string ToJsonLine(const MadeConversation& conversation) {
  nlohmann::ordered_json row;
  row["messages"] = nlohmann::ordered_json::array();
  for (const Message& message : conversation.messages)
    row["messages"].push_back({{"role", message.role}, {"content", message.content}});
  row["tokens"] = conversation.tokens;
  row["answer_begin"] = conversation.answer_begin;
  row["temperature"] = conversation.temperature;
  row["ended"] = conversation.ended;
  return row.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::vector<int32_t> StopTokens(const ChatTokenizer& chat) {
  std::vector<int32_t> stops;
  for (int32_t id = 0; id < chat.tokenizer().vocab_size(); ++id) {
    if (chat.tokenizer().IsEndOfGeneration(id)) stops.push_back(id);
  }
  return stops;
}

Result<std::vector<int32_t>> UserHeader(const ChatTokenizer& chat) {
  const Message message{"user", kMarker};
  HEARTH_ASSIGN_OR_RETURN(const jinja::Text text, chat.Render({&message, 1}, false));
  const size_t at = text.str().find(kMarker);
  if (at == std::string::npos || at == 0)
    return MakeError(ErrorCode::kUnsupported,
                     "the chat template writes nothing before a user's words to begin from");
  return chat.Encode(text.Slice(0, at));
}

Result<ConversationStatistics> MakeConversations(
    Generator& generator, const ChatTokenizer& chat, const ConversationOptions& options,
    const std::function<Status(const MadeConversation&)>& sink) {
  Maker maker(chat, options, sink);
  HEARTH_RETURN_IF_ERROR(maker.Begin());
  HEARTH_RETURN_IF_ERROR(generator.Run([&] { return maker.Next(); },
                                       [&](const GenerationRequest& request, GeneratedText text) {
                                         return maker.Done(request, std::move(text));
                                       }));
  return maker.statistics;
}

}  // namespace hearth::forge
