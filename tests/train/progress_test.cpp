// The progress line fits the terminal, is rewritten at most ten times a second, and never reaches a
// pipe; signals stop the loop once and the process the second time.
#include "train/progress.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "train/helpers.h"
#include "train/signals.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::StderrCapture;

const StepRecord kRecord{
    .step = 120, .loss = 3.21449, .lr = 0.0012, .tokens_per_second = 45100.4, .seconds = 20};

// The two ends of a terminal of the given width.
struct Terminal {
  explicit Terminal(unsigned short columns) : outside(::posix_openpt(O_RDWR | O_NOCTTY)) {
    REQUIRE(outside >= 0);
    REQUIRE(::grantpt(outside) == 0);
    REQUIRE(::unlockpt(outside) == 0);
    inside = ::open(::ptsname(outside), O_RDWR | O_NOCTTY);
    REQUIRE(inside >= 0);
    struct winsize size {};
    size.ws_col = columns;
    REQUIRE(::ioctl(inside, TIOCSWINSZ, &size) == 0);
    ::fcntl(outside, F_SETFL, O_NONBLOCK);
  }
  ~Terminal() {
    ::close(inside);
    ::close(outside);
  }
  std::string shown() const {
    std::string text(1 << 16, '\0');
    const ssize_t got = ::read(outside, text.data(), text.size());
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  }
  int outside, inside = -1;
};

TEST_CASE("a progress line names step, loss, rate and time left", "[progress]") {
  CHECK(progress_text(kRecord, 1000, 62, 200) ==
        "step 120/1000  loss 3.2145  lr 1.20e-03  45,100 tokens/s  1:02 left");
  CHECK_THAT(progress_text(kRecord, 1000, 3725, 200), Contains("1:02:05 left"));
}

TEST_CASE("a narrow terminal loses whole fields from the right", "[progress]") {
  const std::string whole = progress_text(kRecord, 1000, 62, 200);
  for (std::size_t width = 0; width <= whole.size(); ++width) {
    const std::string line = progress_text(kRecord, 1000, 62, width);
    INFO(width << ": " << line);
    CHECK(line.size() <= width);
    CHECK(whole.starts_with(line));
    CHECK((line.size() == whole.size() || whole.substr(line.size()).starts_with("  ") ||
           line.empty()));
  }
}

TEST_CASE("a terminal gets one line, rewritten at most ten times a second", "[progress]") {
  const Terminal terminal(40);
  const StderrCapture log;
  {
    Progress progress(terminal.inside, 0, 1000);
    for (int i = 0; i < 1000; ++i) {
      progress.update(kRecord);
    }
    progress.record(kRecord);  // log lines are for pipes
  }
  const std::string shown = terminal.shown();
  CHECK_THAT(shown, Contains("step 120/1000  loss 3.2145") && !Contains("\n"));
  CHECK_THAT(shown, !Contains("tokens/s"));  // it does not fit into 40 columns
  // 1,000 updates take far less than half a second: at most five lines and the final erase.
  CHECK(std::count(shown.begin(), shown.end(), 's') <= 5 * 3);
  CHECK(shown.ends_with("\r\x1b[K"));
  CHECK(log.text().empty());
}

TEST_CASE("a pipe gets log lines and no control characters", "[progress]") {
  const StderrCapture log;
  {
    Progress progress(STDERR_FILENO, 20, 1000);
    progress.update(kRecord);
    CHECK(log.text().empty());
    progress.record(kRecord);
  }
  // 100 steps of this process took 20 s: 880 more take 176 s.
  CHECK(log.text() ==
        "info: step 120/1000  loss 3.2145  lr 1.20e-03  45,100 tokens/s  2:56 left\n");
}

TEST_CASE("the first signal asks for a stop and the guard restores what was", "[signals]") {
  const int signal = GENERATE(SIGINT, SIGTERM, SIGHUP);
  struct sigaction before {
  }, after{};
  ::sigaction(signal, nullptr, &before);
  {
    const StderrCapture output;
    const SignalGuard guard;
    CHECK_FALSE(guard.stop_requested());
    ::raise(signal);
    CHECK(guard.stop_requested());
    CHECK_THAT(output.text(), Contains("stopping after this step"));
  }
  ::sigaction(signal, nullptr, &after);
  CHECK(before.sa_handler == after.sa_handler);
  const SignalGuard next;
  CHECK_FALSE(next.stop_requested());
}

TEST_CASE("the second signal ends the process at once", "[signals]") {
  const int signal = GENERATE(SIGINT, SIGTERM);
  const StderrCapture output;
  const int status = test::in_child([&] {
    const SignalGuard guard;
    ::raise(signal);
    ::raise(signal);
    return 0;
  });
  CHECK(test::exit_code(status) == 128 + signal);
  CHECK_THAT(output.text(), Contains("stopped at once"));
}

TEST_CASE("a signal that was ignored at start stays ignored", "[signals]") {
  const int status = test::in_child([] {
    ::signal(SIGHUP, SIG_IGN);
    const SignalGuard guard;
    ::raise(SIGHUP);
    return guard.stop_requested() ? 1 : 0;
  });
  CHECK(test::exit_code(status) == 0);
}

TEST_CASE("a closed pipe does not end the process", "[signals]") {
  const int status = test::in_child([] {
    const SignalGuard guard;
    int ends[2];
    if (::pipe(ends) != 0) {
      return 1;
    }
    ::close(ends[0]);
    return ::write(ends[1], "x", 1) == -1 && errno == EPIPE ? 0 : 2;
  });
  CHECK(test::exit_code(status) == 0);
}

}  // namespace
}  // namespace setun
