#include "base/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace setun {

OutputFile::OutputFile(fs::path path, Mode mode)
    : path_(std::move(path)),
      descriptor_(::open(
          path_.c_str(),
          O_WRONLY | O_CREAT | O_CLOEXEC | (mode == Mode::kAppend ? O_APPEND : O_TRUNC), 0644)) {
  SETUN_CHECK(descriptor_ >= 0, path_.string(),
              ": cannot be opened for writing: ", std::strerror(errno));
}

OutputFile::~OutputFile() { ::close(descriptor_); }

std::size_t OutputFile::try_write(std::span<const std::byte> bytes, std::string& reason) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put <= 0) {
      reason = std::strerror(put < 0 ? errno : EIO);
      break;
    }
    done += static_cast<std::size_t>(put);
  }
  return done;
}

void OutputFile::write(std::span<const std::byte> bytes) {
  std::string reason;
  const std::size_t done = try_write(bytes, reason);
  SETUN_CHECK(done == bytes.size(), path_.string(), ": cannot be written: ", reason);
}

void OutputFile::sync() {
  SETUN_CHECK(::fsync(descriptor_) == 0, path_.string(),
              ": cannot be flushed: ", std::strerror(errno));
}

void LogFile::flush() {
  std::string reason;
  const std::size_t done = file_.try_write(std::as_bytes(std::span(pending_)), reason);
  pending_.erase(0, done);
  if (!pending_.empty() && !failing_) {
    log_warning(file_.path().string(), ": cannot be written: ", reason,
                "; its records are kept in memory and written when there is room");
  }
  failing_ = !pending_.empty();
}

}  // namespace setun
