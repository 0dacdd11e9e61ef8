#include "runtime/chat_template/strftime.h"

#include <ctime>

namespace hearth::jinja {
namespace {

constexpr const char* kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                 "Thursday", "Friday", "Saturday"};
constexpr const char* kMonths[] = {"January",   "February", "March",    "April",
                                   "May",       "June",     "July",     "August",
                                   "September", "October",  "November", "December"};

struct IsoWeek {
  int year, week;
};

// ISO 8601: weeks begin on Monday, and week 1 holds the year's first Thursday.
IsoWeek IsoWeekOf(const std::tm& time) {
  const int weekday = (time.tm_wday + 6) % 7;  // Monday is 0
  int year = time.tm_year + 1900;
  int week = (time.tm_yday - weekday + 10) / 7;
  const auto weeks_in = [](int y) {
    const auto last_weekday = [](int z) { return (z + z / 4 - z / 100 + z / 400) % 7; };
    return last_weekday(y) == 4 || last_weekday(y - 1) == 3 ? 53 : 52;
  };
  if (week < 1) {
    --year;
    week = weeks_in(year);
  } else if (week > weeks_in(year)) {
    ++year;
    week = 1;
  }
  return {year, week};
}

class Formatter {
 public:
  explicit Formatter(int64_t now) : now_(now) {
    const auto seconds = static_cast<std::time_t>(now);
    // A year beyond int's range cannot be broken down; the epoch stands in for it.
    if (localtime_r(&seconds, &time_) == nullptr)
      time_ = std::tm{.tm_mday = 1, .tm_year = 70, .tm_wday = 4};
  }

  std::string Format(std::string_view format);

 private:
  // Appends what `directive` stands for; false if there is no such directive.
  bool Directive(char directive);
  void PutNumber(int64_t value, size_t width, char pad);
  void PutName(std::string_view name);

  int64_t now_;
  std::tm time_{};
  char flag_ = 0;
  std::string out_;
};

void Formatter::PutNumber(int64_t value, size_t width, char pad) {
  if (flag_ == '_') pad = ' ';
  if (flag_ == '0') pad = '0';
  const std::string digits = std::to_string(value);
  if (flag_ != '-' && digits.size() < width) out_.append(width - digits.size(), pad);
  out_ += digits;
}

void Formatter::PutName(std::string_view name) {
  for (char c : name) {
    out_.push_back(flag_ == '^' && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
  }
}

bool Formatter::Directive(char directive) {
  const int64_t year = int64_t{time_.tm_year} + 1900;
  const int hour12 = time_.tm_hour % 12 == 0 ? 12 : time_.tm_hour % 12;
  const std::string_view day = kDays[time_.tm_wday];
  const std::string_view month = kMonths[time_.tm_mon];
  switch (directive) {
    case 'a':
      PutName(day.substr(0, 3));
      break;
    case 'A':
      PutName(day);
      break;
    case 'b':
    case 'h':
      PutName(month.substr(0, 3));
      break;
    case 'B':
      PutName(month);
      break;
    case 'c':
      out_ += Formatter(now_).Format("%a %b %e %H:%M:%S %Y");
      break;
    case 'C':
      PutNumber(year / 100, 2, '0');
      break;
    case 'd':
      PutNumber(time_.tm_mday, 2, '0');
      break;
    case 'D':
    case 'x':
      out_ += Formatter(now_).Format("%m/%d/%y");
      break;
    case 'e':
      PutNumber(time_.tm_mday, 2, ' ');
      break;
    case 'f':
      out_ += "000000";
      break;  // the clock has whole seconds
    case 'F':
      out_ += Formatter(now_).Format("%Y-%m-%d");
      break;
    case 'g':
      PutNumber(IsoWeekOf(time_).year % 100, 2, '0');
      break;
    case 'G':
      PutNumber(IsoWeekOf(time_).year, 4, '0');
      break;
    case 'H':
      PutNumber(time_.tm_hour, 2, '0');
      break;
    case 'I':
      PutNumber(hour12, 2, '0');
      break;
    case 'j':
      PutNumber(time_.tm_yday + 1, 3, '0');
      break;
    case 'k':
      PutNumber(time_.tm_hour, 2, ' ');
      break;
    case 'l':
      PutNumber(hour12, 2, ' ');
      break;
    case 'm':
      PutNumber(time_.tm_mon + 1, 2, '0');
      break;
    case 'M':
      PutNumber(time_.tm_min, 2, '0');
      break;
    case 'n':
      out_ += "\n";
      break;
    case 'p':
      PutName(time_.tm_hour < 12 ? "AM" : "PM");
      break;
    case 'P':
      PutName(time_.tm_hour < 12 ? "am" : "pm");
      break;
    case 'r':
      out_ += Formatter(now_).Format("%I:%M:%S %p");
      break;
    case 'R':
      out_ += Formatter(now_).Format("%H:%M");
      break;
    case 's':
      PutNumber(now_, 1, '0');
      break;
    case 'S':
      PutNumber(time_.tm_sec, 2, '0');
      break;
    case 't':
      out_ += "\t";
      break;
    case 'T':
    case 'X':
      out_ += Formatter(now_).Format("%H:%M:%S");
      break;
    case 'u':
      PutNumber(time_.tm_wday == 0 ? 7 : time_.tm_wday, 1, '0');
      break;
    case 'U':
      PutNumber((time_.tm_yday + 7 - time_.tm_wday) / 7, 2, '0');
      break;
    case 'V':
      PutNumber(IsoWeekOf(time_).week, 2, '0');
      break;
    case 'w':
      PutNumber(time_.tm_wday, 1, '0');
      break;
    case 'W':
      PutNumber((time_.tm_yday + 7 - (time_.tm_wday + 6) % 7) / 7, 2, '0');
      break;
    case 'y':
      PutNumber(year % 100, 2, '0');
      break;
    case 'Y':
      PutNumber(year, 1, '0');
      break;
    case 'z':
    case 'Z':
      break;  // Python's datetime.now() knows no time zone
    case '%':
      out_ += "%";
      break;
    default:
      return false;
  }
  return true;
}

std::string Formatter::Format(std::string_view format) {
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out_.push_back(format[i]);
      continue;
    }
    const size_t begin = i++;
    flag_ = 0;
    if (format[i] == '-' || format[i] == '_' || format[i] == '0' || format[i] == '^') {
      flag_ = format[i];
      if (i + 1 < format.size()) ++i;
    }
    if (!Directive(format[i])) out_.append(format, begin, i - begin + 1);
  }
  return std::move(out_);
}

}  // namespace

std::string Strftime(std::string_view format, int64_t now) { return Formatter(now).Format(format); }

}  // namespace hearth::jinja
