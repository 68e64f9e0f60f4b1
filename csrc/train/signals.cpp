#include "train/signals.h"

#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace setun {
namespace {

std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free,
              "a signal handler may only use lock-free atomics");

void say(std::string_view text) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

// Only async-signal-safe calls: write, isatty, _exit and a lock-free atomic.
extern "C" void on_stop_signal(int signal) {
  const int error = errno;
  const std::string_view erase = ::isatty(STDERR_FILENO) == 1 ? "\r\x1b[K" : "";
  say(erase);
  if (stop.exchange(true)) {
    say("stopped at once; the last checkpoint stays\n");
    ::_exit(128 + signal);
  }
  say("stopping after this step, then saving; a second signal stops at once\n");
  errno = error;
}

}  // namespace

SignalGuard::SignalGuard() {
  stop = false;
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    const bool stops = kSignals[i] == SIGINT || kSignals[i] == SIGTERM || kSignals[i] == SIGHUP;
    struct sigaction action {};
    action.sa_handler = stops ? on_stop_signal : SIG_IGN;
    action.sa_flags = SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(kSignals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN) {
      ::sigaction(kSignals[i], &action, nullptr);
    }
  }
}

SignalGuard::~SignalGuard() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &before_[i], nullptr);
  }
}

const std::atomic<bool>& SignalGuard::stop_requested() const { return stop; }

}  // namespace setun
