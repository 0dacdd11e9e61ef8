// "%s and %d" % values, after "printf-style String Formatting" in Python's library reference.

#include <algorithm>
#include <cmath>

#include "runtime/chat_template/format.h"
#include "runtime/chat_template/number.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/repr.h"
#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {
namespace {

constexpr int64_t kMaxWidth = INT32_MAX;

struct Directive {
  bool left = false, zero = false, alternate = false;
  char plus = 0;  // '+' or ' '
  int64_t width = 0;
  std::optional<int64_t> precision;
  char conversion = 0;
};

class Formatter {
 public:
  Formatter(Runtime& rt, const Text& format, const Value& values)
      : rt_(rt), format_(format), bytes_(format.view()), values_(values), builder_(rt) {
    const List* list = values.list();
    if (list != nullptr && list->kind != List::Kind::kList) tuple_ = &list->items;
  }

  Result<Value> Run(bool markup);

 private:
  tl::unexpected<Error> Incomplete() const { return rt_.Fail("incomplete format"); }
  Result<Value> NextValue();
  // The value that a (key) in the format names.
  Result<Value> KeyedValue();
  Result<int64_t> ReadNumber();
  Status ReadDirective(Directive& directive);
  Status Convert(const Directive& directive, const Value& value);
  Status ConvertInteger(const Directive& directive, const Value& value);
  Status ConvertFloat(const Directive& directive, const Value& value);
  Status ConvertCharacter(const Directive& directive, const Value& value);

  Runtime& rt_;
  const Text& format_;
  const std::string_view bytes_;
  const Value& values_;
  const Array* tuple_ = nullptr;
  size_t next_value_ = 0;
  bool keyed_ = false;
  size_t pos_ = 0;
  TextBuilder builder_;
};

Result<Value> Formatter::NextValue() {
  const size_t count = tuple_ == nullptr ? 1 : tuple_->size();
  if (next_value_ >= count) return rt_.Fail("not enough arguments for format string");
  const size_t index = next_value_++;
  return tuple_ == nullptr ? values_ : (*tuple_)[index];
}

Result<Value> Formatter::KeyedValue() {
  const Dict* dict = values_.dict();
  if (dict == nullptr) return rt_.Fail("format requires a mapping");
  const size_t begin = ++pos_;
  int depth = 1;
  while (pos_ < bytes_.size() && depth > 0) {
    if (bytes_[pos_] == '(') ++depth;
    if (bytes_[pos_] == ')') --depth;
    ++pos_;
  }
  if (depth > 0) return rt_.Fail("incomplete format key");
  keyed_ = true;
  const Value key(format_.Slice(begin, pos_ - 1));
  HEARTH_ASSIGN_OR_RETURN(const Value* found, Find(rt_, *dict, key));
  if (found != nullptr) return *found;
  return rt_.Fail("KeyError: '" + key.text().str() + "'");
}

Result<int64_t> Formatter::ReadNumber() {
  if (pos_ < bytes_.size() && bytes_[pos_] == '*') {
    ++pos_;
    HEARTH_ASSIGN_OR_RETURN(const Value value, NextValue());
    const int64_t* number = value.integer();
    if (number == nullptr) return rt_.Fail("* wants int");
    return std::clamp(*number, -kMaxWidth, kMaxWidth);
  }
  int64_t number = 0;
  for (; pos_ < bytes_.size() && bytes_[pos_] >= '0' && bytes_[pos_] <= '9'; ++pos_) {
    number = number * 10 + (bytes_[pos_] - '0');
    if (number > kMaxWidth) return rt_.Fail("width too big");
  }
  return number;
}

Status Formatter::ReadDirective(Directive& directive) {
  for (; pos_ < bytes_.size(); ++pos_) {
    const char c = bytes_[pos_];
    if (c == '-') {
      directive.left = true;
    } else if (c == '0') {
      directive.zero = true;
    } else if (c == '#') {
      directive.alternate = true;
    } else if (c == '+' || (c == ' ' && directive.plus != '+')) {
      directive.plus = c;
    } else if (c != ' ') {
      break;
    }
  }
  HEARTH_ASSIGN_OR_RETURN(directive.width, ReadNumber());
  if (directive.width < 0) {
    directive.left = true;
    directive.width = -directive.width;
  }
  if (pos_ < bytes_.size() && bytes_[pos_] == '.') {
    ++pos_;
    HEARTH_ASSIGN_OR_RETURN(const int64_t precision, ReadNumber());
    directive.precision = std::max<int64_t>(0, precision);
  }
  if (pos_ < bytes_.size() && (bytes_[pos_] == 'h' || bytes_[pos_] == 'l' || bytes_[pos_] == 'L'))
    ++pos_;
  if (pos_ >= bytes_.size()) return Incomplete();
  directive.conversion = bytes_[pos_++];
  return {};
}

Field FieldOf(const Directive& directive, bool numeric) {
  Field field;
  field.width = directive.width;
  if (directive.left) {
    field.align = '<';
  } else if (directive.zero && numeric) {
    field.align = '=';
    field.fill = Text("0");
  }
  return field;
}

Status Formatter::ConvertInteger(const Directive& directive, const Value& value) {
  const char conversion = directive.conversion;
  const bool decimal = conversion == 'd' || conversion == 'i' || conversion == 'u';
  if (value.is_undefined()) return UndefinedError(rt_, value);
  const auto number = AsNumber(value);
  if (!number || (number->is_float && !decimal)) {
    return rt_.Fail("%" + std::string(1, conversion) +
                    " format: " + (decimal ? "a real number" : "an integer") +
                    " is required, not " + std::string(TypeName(value)));
  }
  int64_t integer = number->integer;
  if (number->is_float) {
    if (!(number->real >= -0x1p63 && number->real < 0x1p63)) {
      return rt_.Fail("cannot convert float " + FloatRepr(number->real) + " to integer");
    }
    integer = static_cast<int64_t>(number->real);
  }
  NumberPieces pieces = IntegerPieces(integer, conversion, directive.alternate, directive.plus);
  if (directive.precision) {
    const auto digits = static_cast<int64_t>(pieces.digits.size());
    if (*directive.precision > kMaxPrecision) return rt_.Exhausted("precision too big");
    if (*directive.precision > digits) {
      pieces.digits.insert(0, static_cast<size_t>(*directive.precision - digits), '0');
    }
  }
  AppendField(FieldOf(directive, true), pieces, builder_);
  return {};
}

Status Formatter::ConvertFloat(const Directive& directive, const Value& value) {
  if (value.is_undefined()) return UndefinedError(rt_, value);
  const auto number = AsNumber(value);
  if (!number) return rt_.Fail("must be real number, not " + std::string(TypeName(value)));
  const int64_t precision = directive.precision.value_or(6);
  if (precision > kMaxPrecision) return rt_.Exhausted("precision too big");
  AppendField(FieldOf(directive, true),
              FloatPieces(number->real, directive.conversion, static_cast<int>(precision),
                          directive.alternate, directive.plus),
              builder_);
  return {};
}

Status Formatter::ConvertCharacter(const Directive& directive, const Value& value) {
  if (const String* string = value.string()) {
    if (CountCodePoints(string->text.view()) != 1) return rt_.Fail("%c requires int or char");
    AppendField(FieldOf(directive, false), string->text, builder_);
    return {};
  }
  const int64_t* code = value.integer();
  if (code == nullptr) return rt_.Fail("%c requires int or char");
  if (*code < 0 || *code > 0x10FFFF) return rt_.Fail("%c arg not in range(0x110000)");
  std::string bytes;
  AppendUtf8(static_cast<uint32_t>(*code), bytes);
  // Any character can be made from a number, so it counts as input.
  AppendField(FieldOf(directive, false), Text(bytes, false), builder_);
  return {};
}

Status Formatter::Convert(const Directive& directive, const Value& value) {
  switch (directive.conversion) {
    case 's':
    case 'r':
    case 'a': {
      TextBuilder piece(rt_);
      if (directive.conversion == 'a' && value.string() != nullptr) {
        AppendStringRepr(value.text(), true, piece);
      } else if (directive.conversion == 's') {
        HEARTH_RETURN_IF_ERROR(AppendStr(rt_, value, piece));
      } else {
        HEARTH_RETURN_IF_ERROR(AppendRepr(rt_, value, piece));
      }
      HEARTH_ASSIGN_OR_RETURN(Text text, piece.Finish());
      if (directive.precision) {
        text = text.Slice(0, ByteOffset(text.view(), static_cast<size_t>(*directive.precision)));
      }
      AppendField(FieldOf(directive, false), text, builder_);
      return {};
    }
    case 'c':
      return ConvertCharacter(directive, value);
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
      return ConvertInteger(directive, value);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      return ConvertFloat(directive, value);
    default:
      return rt_.Fail("unsupported format character '" + std::string(1, directive.conversion) +
                      "'");
  }
}

Result<Value> Formatter::Run(bool markup) {
  while (pos_ < bytes_.size() && builder_.ok()) {
    HEARTH_RETURN_IF_ERROR(rt_.Step());
    const size_t percent = std::min(bytes_.find('%', pos_), bytes_.size());
    builder_.AppendRange(format_, pos_, percent);
    pos_ = percent + 1;
    if (percent == bytes_.size()) break;
    if (pos_ >= bytes_.size()) return Incomplete();
    Value value;
    const bool has_key = bytes_[pos_] == '(';
    if (has_key) {
      HEARTH_ASSIGN_OR_RETURN(value, KeyedValue());
    }
    Directive directive;
    HEARTH_RETURN_IF_ERROR(ReadDirective(directive));
    if (directive.conversion == '%') {
      builder_.Append("%", format_.RunAt(percent).trusted);
      continue;
    }
    if (!has_key) {
      HEARTH_ASSIGN_OR_RETURN(value, NextValue());
    }
    HEARTH_RETURN_IF_ERROR(Convert(directive, value));
  }
  // Only what is no mapping for Python has to be used up.
  const bool mapping =
      tuple_ == nullptr && (values_.dict() != nullptr || values_.list() != nullptr ||
                            values_.is_undefined() || AsRange(values_) != nullptr);
  const size_t count = tuple_ == nullptr ? 1 : tuple_->size();
  if (!keyed_ && !mapping && next_value_ < count) {
    return rt_.Fail("not all arguments converted during string formatting");
  }
  return builder_.FinishValue(markup);
}

}  // namespace

Result<Value> FormatPercent(Runtime& rt, const Value& format, const Value& arguments) {
  return Formatter(rt, format.text(), arguments).Run(format.string()->markup);
}

}  // namespace hearth::jinja
