#include "server/openai/answer_format.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace hearth::openai {
namespace {

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t size = lead < 0x80    ? 1
                        : lead >= 0xf0 ? 4
                        : lead >= 0xe0 ? 3
                        : lead >= 0xc2 ? 2
                                       : 0;
    if (size == 0 || lead > 0xf4 || i + size > text.size()) return false;
    for (size_t tail = 1; tail < size; ++tail) {
      if ((static_cast<unsigned char>(text[i + tail]) & 0xc0) != 0x80) return false;
    }
    i += size;
  }
  return true;
}

int64_t CountCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

// Tokens that are part of a character stay apart in a map keyed by text only if their bytes are
// written out, as OpenAI does.
std::string TokenKey(const std::string& bytes) {
  if (IsUtf8(bytes)) return bytes;
  std::string out = "bytes:";
  for (const char c : bytes) {
    char hex[8];
    std::snprintf(hex, sizeof(hex), "\\x%02x", static_cast<unsigned char>(c));
    out += hex;
  }
  return out;
}

// JSON has no infinity; this is what OpenAI sends for "never".
double FiniteLogprob(float logprob) { return std::max(-9999.0, static_cast<double>(logprob)); }

class ChatFormat : public AnswerFormat {
 public:
  ChatFormat(const Backend& backend, bool with_logprobs)
      : backend_(backend), with_logprobs_(with_logprobs) {}

  std::string IdPrefix() const override { return "chatcmpl-"; }
  std::string ObjectName(bool stream) const override {
    return stream ? "chat.completion.chunk" : "chat.completion";
  }

  OrderedJson Whole(Choice& choice) const override {
    OrderedJson out;
    out["index"] = choice.index;
    out["message"] = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
    out["logprobs"] = Logprobs(choice.tokens);
    out["finish_reason"] = FinishReasonName(choice.finish_reason);
    return out;
  }

  std::vector<OrderedJson> Pieces(Choice& choice, const GenerateEvent& event) const override {
    std::vector<OrderedJson> pieces;
    if (!choice.begun) {
      pieces.push_back(Piece(choice, {{"role", "assistant"}, {"content", ""}}, nullptr));
      choice.begun = true;
    }
    if (!event.text.empty() || (with_logprobs_ && !event.tokens.empty())) {
      pieces.push_back(Piece(choice, {{"content", event.text}}, Logprobs(event.tokens)));
    }
    if (event.finished) {
      OrderedJson last = Piece(choice, OrderedJson::object(), nullptr);
      last["finish_reason"] = FinishReasonName(event.finish_reason);
      pieces.push_back(std::move(last));
    }
    return pieces;
  }

 private:
  static OrderedJson Piece(const Choice& choice, OrderedJson delta, OrderedJson logprobs) {
    OrderedJson piece;
    piece["index"] = choice.index;
    piece["delta"] = std::move(delta);
    piece["logprobs"] = std::move(logprobs);
    piece["finish_reason"] = nullptr;
    return piece;
  }

  static OrderedJson Entry(const std::string& bytes, float logprob) {
    OrderedJson entry;
    entry["token"] = bytes;  // broken characters become U+FFFD when it is written
    entry["logprob"] = FiniteLogprob(logprob);
    OrderedJson list = OrderedJson::array();
    for (const char c : bytes) list.push_back(static_cast<unsigned char>(c));
    entry["bytes"] = std::move(list);
    return entry;
  }

  OrderedJson Logprobs(const std::vector<GeneratedToken>& tokens) const {
    if (!with_logprobs_) return nullptr;
    OrderedJson content = OrderedJson::array();
    for (const GeneratedToken& token : tokens) {
      OrderedJson entry = Entry(token.bytes, token.sampled.logprob);
      OrderedJson top = OrderedJson::array();
      for (const TokenLogprob& other : token.sampled.top) {
        top.push_back(Entry(backend_.TokenBytes(other.id), other.logprob));
      }
      entry["top_logprobs"] = std::move(top);
      content.push_back(std::move(entry));
    }
    return {{"content", std::move(content)}, {"refusal", nullptr}};
  }

  const Backend& backend_;
  bool with_logprobs_;
};

class CompletionFormat : public AnswerFormat {
 public:
  CompletionFormat(const Backend& backend, bool with_logprobs, int n, std::vector<Echo> echoes)
      : backend_(backend), with_logprobs_(with_logprobs), n_(n), echoes_(std::move(echoes)) {}

  std::string IdPrefix() const override { return "cmpl-"; }
  std::string ObjectName(bool) const override { return "text_completion"; }

  OrderedJson Whole(Choice& choice) const override {
    return Entry(choice, EchoText(choice) + choice.text, choice.prompt_tokens, choice.tokens,
                 FinishReasonName(choice.finish_reason));
  }

  std::vector<OrderedJson> Pieces(Choice& choice, const GenerateEvent& event) const override {
    std::string text = event.text;
    const bool first = !choice.begun;
    if (first) text = EchoText(choice) + text;
    const bool has_tokens =
        with_logprobs_ && !(event.tokens.empty() && event.prompt_tokens.empty());
    if (text.empty() && !has_tokens && !event.finished) return {};
    // Text completion carries the finish reason on its last text.
    OrderedJson reason =
        event.finished ? OrderedJson(FinishReasonName(event.finish_reason)) : OrderedJson();
    OrderedJson piece = Entry(choice, text, event.prompt_tokens, event.tokens, std::move(reason));
    choice.begun = true;
    return {std::move(piece)};
  }

 private:
  const Echo* EchoOf(const Choice& choice) const {
    return echoes_.empty() ? nullptr : &echoes_[static_cast<size_t>(choice.index / n_)];
  }
  std::string EchoText(const Choice& choice) const {
    const Echo* echo = EchoOf(choice);
    return echo == nullptr ? "" : echo->text;
  }

  OrderedJson Entry(Choice& choice, std::string text,
                    const std::vector<GeneratedToken>& prompt_tokens,
                    const std::vector<GeneratedToken>& tokens, OrderedJson reason) const {
    OrderedJson out;
    out["text"] = std::move(text);
    out["index"] = choice.index;
    out["logprobs"] = Logprobs(choice, prompt_tokens, tokens);
    out["finish_reason"] = std::move(reason);
    return out;
  }

  OrderedJson Logprobs(Choice& choice, const std::vector<GeneratedToken>& prompt_tokens,
                       const std::vector<GeneratedToken>& tokens) const {
    if (!with_logprobs_) return nullptr;
    OrderedJson names = OrderedJson::array();
    OrderedJson logprobs = OrderedJson::array();
    OrderedJson tops = OrderedJson::array();
    OrderedJson offsets = OrderedJson::array();
    const auto add_name = [&](const std::string& bytes) {
      names.push_back(TokenKey(bytes));
      offsets.push_back(choice.text_offset);
      choice.text_offset += CountCharacters(bytes);
    };
    if (const Echo* echo = EchoOf(choice); echo != nullptr && !choice.begun) {
      add_name(backend_.TokenBytes(echo->first_token));
      logprobs.push_back(nullptr);
      tops.push_back(nullptr);
    }
    for (const auto* list : {&prompt_tokens, &tokens}) {
      for (const GeneratedToken& token : *list) {
        const std::string bytes =
            token.bytes.empty() ? backend_.TokenBytes(token.sampled.id) : token.bytes;
        add_name(bytes);
        logprobs.push_back(FiniteLogprob(token.sampled.logprob));
        tops.push_back(Top(token, bytes));
      }
    }
    return {{"tokens", std::move(names)},
            {"token_logprobs", std::move(logprobs)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }

  OrderedJson Top(const GeneratedToken& token, const std::string& bytes) const {
    OrderedJson out = OrderedJson::object();
    for (const TokenLogprob& other : token.sampled.top) {
      // Two tokens may read the same; the likelier came first.
      const std::string key = TokenKey(backend_.TokenBytes(other.id));
      if (!out.contains(key)) out[key] = FiniteLogprob(other.logprob);
    }
    const std::string key = TokenKey(bytes);
    if (!out.contains(key)) out[key] = FiniteLogprob(token.sampled.logprob);
    return out;
  }

  const Backend& backend_;
  bool with_logprobs_;
  int n_;
  std::vector<Echo> echoes_;
};

}  // namespace

std::string FinishReasonName(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

std::unique_ptr<AnswerFormat> MakeChatFormat(const Backend& backend, bool with_logprobs) {
  return std::make_unique<ChatFormat>(backend, with_logprobs);
}

std::unique_ptr<AnswerFormat> MakeCompletionFormat(const Backend& backend, bool with_logprobs,
                                                   int n, std::vector<Echo> echoes) {
  return std::make_unique<CompletionFormat>(backend, with_logprobs, n, std::move(echoes));
}

}  // namespace hearth::openai
