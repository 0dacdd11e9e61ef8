#include "runtime/chat_template/lexer.h"

#include <algorithm>
#include <optional>

#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {
namespace {

constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                           "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                           ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool IsDigitChar(char c) { return c >= '0' && c <= '9'; }

// \r\n and \r become \n, and one newline at the very end goes.
std::string NormalizeNewlines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
      continue;
    }
    text += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : text_(NormalizeNewlines(source)) {}

  Result<std::vector<Token>> Run() {
    while (position_ < text_.size()) HEARTH_RETURN_IF_ERROR(DataAndTag());
    Emit(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(text_).substr(position_); }

  tl::unexpected<Error> Fail(const std::string& message) const {
    return MakeError(ErrorCode::kCorrupt, "line " + std::to_string(line_) + ": " + message);
  }

  void Emit(Token::Kind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), line_});
  }

  // Moves on; counts lines.
  void Advance(size_t size) {
    line_ +=
        static_cast<int>(std::count(text_.begin() + static_cast<long>(position_),
                                    text_.begin() + static_cast<long>(position_ + size), '\n'));
    position_ += size;
  }

  size_t BlanksAt(size_t position) const {
    size_t size = 0;
    while (position + size < text_.size()) {
      const CodePoint c = DecodeAt(text_, position + size);
      if (!IsSpace(c.value)) break;
      size += c.size_bytes;
    }
    return size;
  }

  // How much of `data` stays before a tag whose sign is `sign`. `starts_line`: the data begins at
  // the start of a line.
  static size_t KeptSize(std::string_view data, char sign, bool is_variable, bool starts_line) {
    if (sign == '-') return StrippedSize(data);
    if (sign == '+' || is_variable) return data.size();
    const size_t newline = data.rfind('\n');
    const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
    if (line_start == 0 && !starts_line) return data.size();
    return StrippedSize(data.substr(line_start)) == 0 ? line_start : data.size();
  }

  static size_t StrippedSize(std::string_view data) {
    size_t size = data.size();
    while (size > 0) {
      const CodePoint c = DecodeBefore(data, size);
      if (!IsSpace(c.value)) break;
      size -= c.size_bytes;
    }
    return size;
  }

  char SignAt(size_t position) const {
    const char c = position < text_.size() ? text_[position] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  Status DataAndTag() {
    const size_t begin = position_;
    size_t tag = std::string::npos;
    for (size_t at = text_.find('{', begin); at != std::string::npos;
         at = text_.find('{', at + 1)) {
      const char next = at + 1 < text_.size() ? text_[at + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') {
        tag = at;
        break;
      }
    }
    const size_t end = tag == std::string::npos ? text_.size() : tag;
    const std::string_view data = std::string_view(text_).substr(begin, end - begin);
    const char kind = tag == std::string::npos ? '\0' : text_[tag + 1];
    const char sign = tag == std::string::npos ? '\0' : SignAt(tag + 2);
    const size_t kept =
        tag == std::string::npos ? data.size() : KeptSize(data, sign, kind == '{', line_starting_);
    if (kept > 0) Emit(Token::Kind::kData, std::string(data.substr(0, kept)));
    Advance(data.size());
    line_starting_ = false;
    if (tag == std::string::npos) return {};
    if (kind == '#') return Comment();
    if (const auto size = RawBeginSize(tag)) return Raw(*size);
    Emit(kind == '{' ? Token::Kind::kVariableBegin : Token::Kind::kBlockBegin, "");
    Advance(2 + (sign == '\0' ? 0 : 1));
    return Inside(kind == '{');
  }

  Status Comment() {
    const size_t close = text_.find("#}", position_ + 2);
    if (close == std::string::npos) return Fail("Missing end of comment tag");
    // "{#-#}" would be a comment whose signs overlap.
    const char sign = close > position_ + 2 ? SignAt(close - 1) : '\0';
    Advance(close + 2 - position_);
    EndTag(sign);
    return {};
  }

  // After the end of a block or comment: what follows it goes, or one newline does.
  void EndTag(char sign) {
    if (sign == '-') {
      const size_t blanks = BlanksAt(position_);
      line_starting_ = blanks > 0 && text_[position_ + blanks - 1] == '\n';
      Advance(blanks);
    } else if (sign != '+' && rest().starts_with('\n')) {
      Advance(1);
      line_starting_ = true;
    }
  }

  // The size of "{% raw %}" at `tag`, if that is what stands there.
  std::optional<size_t> RawBeginSize(size_t tag) const {
    if (text_[tag + 1] != '%') return std::nullopt;
    size_t at = tag + 2 + (SignAt(tag + 2) == '\0' ? 0 : 1);
    at += BlanksAt(at);
    if (text_.compare(at, 3, "raw") != 0) return std::nullopt;
    at += 3;
    at += BlanksAt(at);
    if (text_.compare(at, 3, "-%}") == 0) {
      at += 3;
      at += BlanksAt(at);
    } else if (text_.compare(at, 2, "%}") == 0) {
      at += 2;
    } else {
      return std::nullopt;
    }
    return at - tag;
  }

  Status Raw(size_t begin_size) {
    Advance(begin_size);
    const size_t begin = position_;
    for (size_t at = text_.find("{%", begin); at != std::string::npos;
         at = text_.find("{%", at + 2)) {
      const char sign = SignAt(at + 2);
      size_t end = at + 2 + (sign == '\0' ? 0 : 1);
      end += BlanksAt(end);
      if (text_.compare(end, 6, "endraw") != 0) continue;
      end += 6;
      end += BlanksAt(end);
      const char end_sign = SignAt(end);
      if (end_sign != '\0') ++end;
      if (text_.compare(end, 2, "%}") != 0) continue;
      const std::string_view data = std::string_view(text_).substr(begin, at - begin);
      const size_t kept = KeptSize(data, sign, false, false);
      if (kept > 0) Emit(Token::Kind::kData, std::string(data.substr(0, kept)));
      Advance(end + 2 - begin);
      EndTag(end_sign);
      return {};
    }
    return Fail("Missing end of raw directive");
  }

  // The tokens of a tag up to its end.
  Status Inside(bool is_variable) {
    std::string brackets;  // the closing ones that are awaited
    const std::string_view close = is_variable ? "}}" : "%}";
    for (;;) {
      Advance(BlanksAt(position_));
      if (position_ >= text_.size()) return Fail("unexpected end of template");
      if (brackets.empty()) {
        const bool minus = text_[position_] == '-' && rest().substr(1).starts_with(close);
        const bool plus =
            !is_variable && text_[position_] == '+' && rest().substr(1).starts_with(close);
        if (minus || plus || rest().starts_with(close)) {
          Emit(is_variable ? Token::Kind::kVariableEnd : Token::Kind::kBlockEnd, "");
          Advance(close.size() + (minus || plus ? 1 : 0));
          if (!is_variable || minus) EndTag(minus ? '-' : plus ? '+' : '\0');
          return {};
        }
      }
      HEARTH_RETURN_IF_ERROR(OneToken(brackets));
    }
  }

  Status OneToken(std::string& brackets) {
    const char c = text_[position_];
    if (IsDigitChar(c)) return Number();
    if (c == '\'' || c == '"') return String(c);
    if (IsIdentifierStart(DecodeAt(text_, position_).value)) {
      size_t size = 0;
      while (position_ + size < text_.size()) {
        const CodePoint part = DecodeAt(text_, position_ + size);
        if (!IsIdentifierPart(part.value)) break;
        size += part.size_bytes;
      }
      Emit(Token::Kind::kName, std::string(rest().substr(0, size)));
      Advance(size);
      return {};
    }
    for (const std::string_view op : kOperators) {
      if (!rest().starts_with(op)) continue;
      if (op == "(") brackets += ')';
      if (op == "[") brackets += ']';
      if (op == "{") brackets += '}';
      if (op == ")" || op == "]" || op == "}") {
        if (brackets.empty()) return Fail("unexpected '" + std::string(op) + "'");
        if (brackets.back() != op[0]) {
          return Fail("unexpected '" + std::string(op) + "', expected '" + brackets.back() + "'");
        }
        brackets.pop_back();
      }
      Emit(Token::Kind::kOperator, std::string(op));
      Advance(op.size());
      return {};
    }
    return Fail("unexpected char " + std::string(c >= ' ' && c < 127 ? 1 : 0, c));
  }

  // Digits with single underscores between them, from `at`.
  size_t DigitsEnd(size_t at) const {
    while (at < text_.size() &&
           (IsDigitChar(text_[at]) ||
            (text_[at] == '_' && at + 1 < text_.size() && IsDigitChar(text_[at + 1])))) {
      ++at;
    }
    return at;
  }

  Status Number() {
    const bool after_dot = position_ > 0 && text_[position_ - 1] == '.';
    size_t end = DigitsEnd(position_);
    bool is_float = false;
    const auto digit_at = [&](size_t at) { return at < text_.size() && IsDigitChar(text_[at]); };
    if (!after_dot) {
      if (end < text_.size() && text_[end] == '.' && digit_at(end + 1)) {
        is_float = true;
        end = DigitsEnd(end + 1);
      }
      if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
        const size_t exponent = end + 1 + (SignAt(end + 1) == '\0' ? 0 : 1);
        if (digit_at(exponent)) {
          is_float = true;
          end = DigitsEnd(exponent);
        }
      }
    }
    if (!is_float && text_[position_] == '0' && end == position_ + 1 && end < text_.size()) {
      const char base = text_[end];
      if (base == 'x' || base == 'X' || base == 'o' || base == 'O' || base == 'b' || base == 'B') {
        size_t at = end + 1;
        while (at < text_.size() &&
               (IsDigitChar(text_[at]) || text_[at] == '_' ||
                (text_[at] >= 'a' && text_[at] <= 'f') || (text_[at] >= 'A' && text_[at] <= 'F'))) {
          ++at;
        }
        if (at > end + 1) end = at;
      }
    }
    Emit(is_float ? Token::Kind::kFloat : Token::Kind::kInteger,
         std::string(rest().substr(0, end - position_)));
    Advance(end - position_);
    return {};
  }

  Status String(char quote) {
    size_t end = position_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return Fail("unexpected char " + std::string(1, quote));
    const std::string_view literal =
        std::string_view(text_).substr(position_ + 1, end - position_ - 1);
    HEARTH_ASSIGN_OR_RETURN(std::string value, Unescape(literal));
    Emit(Token::Kind::kString, std::move(value));
    Advance(end + 1 - position_);
    return {};
  }

  // Python's escapes; an unknown one stays as it is.
  Result<std::string> Unescape(std::string_view literal) const {
    std::string value;
    for (size_t i = 0; i < literal.size(); ++i) {
      if (literal[i] != '\\' || i + 1 >= literal.size()) {
        value += literal[i];
        continue;
      }
      const char c = literal[++i];
      static constexpr std::string_view kNames = "\\'\"abfnrtv", kValues = "\\'\"\a\b\f\n\r\t\v";
      if (const size_t simple = kNames.find(c); simple != std::string_view::npos) {
        value += kValues[simple];
      } else if (c == '\n') {
        // a line goes on
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        HEARTH_ASSIGN_OR_RETURN(const uint32_t code_point,
                                HexDigits(literal.substr(i + 1, digits), digits));
        AppendUtf8(code_point, value);
        i += digits;
      } else if (c >= '0' && c <= '7') {
        uint32_t code_point = 0;
        size_t size = 0;
        for (; size < 3 && i + size < literal.size() && literal[i + size] >= '0' &&
               literal[i + size] <= '7';
             ++size) {
          code_point = code_point * 8 + static_cast<uint32_t>(literal[i + size] - '0');
        }
        AppendUtf8(code_point, value);
        i += size - 1;
      } else if (c == 'N') {
        return Fail("\\N escapes are not supported");
      } else {
        value += '\\';
        value += c;
      }
    }
    return value;
  }

  Result<uint32_t> HexDigits(std::string_view digits, size_t expected) const {
    uint32_t value = 0;
    for (const char c : digits) {
      const int digit = IsDigitChar(c)         ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return Fail("truncated escape in a string");
      value = value * 16 + static_cast<uint32_t>(digit);
    }
    if (digits.size() != expected || value > 0x10FFFF) return Fail("truncated escape in a string");
    return value;
  }

  std::string text_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> Tokenize(std::string_view source) { return Lexer(source).Run(); }

}  // namespace hearth::jinja
