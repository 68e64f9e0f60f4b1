#include "sweep/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>
#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace setun::sweep {
namespace {

constexpr const char* kProgram = "/proc/self/exe";

// Between fork and exec: only async-signal-safe calls.
[[noreturn]] void become_train(char* const* arguments, int log, int input, pid_t parent) {
  ::setpgid(0, 0);
  for (const int signal : {SIGINT, SIGTERM}) {  // whatever the sweep was started with
    ::signal(signal, SIG_DFL);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) {
    ::_exit(128 + SIGTERM);  // the sweep died before the line above
  }
  ::dup2(input, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execv(kProgram, arguments);
  ::_exit(127);
}

}  // namespace

Child::Child(const fs::path& run_folder) : log_(run_folder / "log.txt") {
  const int log = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  SETUN_CHECK(log >= 0, log_.string(), ": cannot be opened: ", std::strerror(errno));
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  log_start_ = static_cast<std::size_t>(fs::file_size(log_));
  std::string name = "setun", verb = "train", recipe = (run_folder / "recipe.yaml").string();
  char* const arguments[] = {name.data(), verb.data(), recipe.data(), nullptr};
  const pid_t parent = ::getpid();
  id_ = ::fork();
  if (id_ == 0) {
    become_train(arguments, log, input, parent);
  }
  const int reason = errno;
  ::close(log);
  ::close(input);
  SETUN_CHECK(id_ > 0, run_folder.string(), ": no process can be made: ", std::strerror(reason));
}

Child::~Child() {
  if (id_ > 0) {
    ask_to_stop();
    while (::waitpid(id_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

std::optional<ChildEnd> Child::poll() {
  int status = 0;
  if (::waitpid(id_, &status, WNOHANG) != id_) {
    return std::nullopt;
  }
  id_ = -1;
  return ChildEnd{.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                  .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0};
}

void Child::ask_to_stop() const { ::kill(id_, SIGTERM); }

double Child::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

std::string Child::last_lines(std::size_t count) const {
  const std::string all = read_file(log_);
  std::istringstream in(all.substr(std::min(log_start_, all.size())));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back("  " + line);
  }
  if (lines.size() > count) {
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  }
  return join(lines, "\n");
}

}  // namespace setun::sweep
