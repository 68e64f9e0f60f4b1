// Logging: one line per message on standard error, through spdlog, which only log.cpp includes (its
// fmt clashes with LibTorch's). Progress and metrics do not go through here; see train/metrics.h.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace setun {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

void set_log_level(LogLevel level);
void log_message(LogLevel level, std::string_view text);

template <class... Parts>
void log_debug(const Parts&... parts) {
  log_message(LogLevel::kDebug, str(parts...));
}
template <class... Parts>
void log_info(const Parts&... parts) {
  log_message(LogLevel::kInfo, str(parts...));
}
template <class... Parts>
void log_warning(const Parts&... parts) {
  log_message(LogLevel::kWarning, str(parts...));
}

}  // namespace setun
