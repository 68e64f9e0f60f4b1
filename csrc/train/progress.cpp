#include "train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "base/log.h"
#include "base/text.h"

namespace setun {
namespace {

constexpr std::chrono::milliseconds kInterval{100};

std::string formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::size_t terminal_width(int descriptor) {
  struct winsize size {};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void put(int descriptor, const std::string& text) {
  // Progress is a courtesy: a terminal that went away must not stop the run.
  [[maybe_unused]] const ssize_t written = ::write(descriptor, text.data(), text.size());
}

}  // namespace

std::string progress_text(const StepRecord& record, int64_t total_steps, double seconds_left,
                          std::size_t width, const std::string& unit) {
  const std::string fields[] = {
      "step " + std::to_string(record.step) + "/" + std::to_string(total_steps),
      formatted("loss %.4f", record.loss), formatted("lr %.2e", record.lr),
      thousands(std::llround(record.tokens_per_second)) + " " + unit + "s/s",
      clock_text(seconds_left) + " left"};
  std::string line;
  for (const std::string& field : fields) {
    const std::string longer = line + (line.empty() ? "" : "  ") + field;
    if (longer.size() > width) {
      break;
    }
    line = longer;
  }
  return line;
}

Progress::Progress(int descriptor, int64_t first_step, int64_t total_steps, std::string unit)
    : descriptor_(descriptor),
      terminal_(::isatty(descriptor) == 1),
      first_step_(first_step),
      total_steps_(total_steps),
      unit_(std::move(unit)),
      last_(std::chrono::steady_clock::now() - kInterval) {}

double Progress::seconds_left(const StepRecord& record) const {
  const auto done = static_cast<double>(std::max<int64_t>(record.step - first_step_, 1));
  return record.seconds / done * static_cast<double>(total_steps_ - record.step);
}

void Progress::update(const StepRecord& record) {
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || now - last_ < kInterval) {
    return;
  }
  last_ = now;
  shown_ = true;
  // One column stays free: a terminal wraps when the last one is filled. The cursor ends at the
  // start of the line, so that a log message overwrites it (base/log.cpp erases the rest).
  const std::size_t width = terminal_width(descriptor_) - 1;
  put(descriptor_,
      "\r" + progress_text(record, total_steps_, seconds_left(record), width, unit_) + "\x1b[K\r");
}

void Progress::record(const StepRecord& record) {
  if (!terminal_) {
    log_info(progress_text(record, total_steps_, seconds_left(record), 1000, unit_));
  }
}

void Progress::clear() {
  if (shown_) {
    put(descriptor_, "\r\x1b[K");
    shown_ = false;
  }
}

}  // namespace setun
