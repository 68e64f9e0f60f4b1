#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/files.h"

namespace setun {
namespace {

std::string owner_of(int descriptor) {
  char owner[32] = {};
  const ssize_t got = ::pread(descriptor, owner, sizeof owner - 1, 0);
  return got > 0 ? std::string(owner, static_cast<std::size_t>(got)) : "(unknown)";
}

}  // namespace

FileLock::FileLock(const fs::path& path, const std::string& folder_key)
    : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  SETUN_CHECK(descriptor_ >= 0, path.string(), ": cannot be opened: ", std::strerror(errno));
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const std::string owner = owner_of(descriptor_);
    ::close(descriptor_);
    descriptor_ = -1;
    fail(path.parent_path().string(), ": is in use by process ", owner,
         "; wait for it to end, stop it, or choose another ", folder_key);
  }
  // The lock itself is the kernel's and ends with the process; the number is only for the message
  // above.
  const std::string owner = std::to_string(::getpid());
  SETUN_CHECK(::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, owner.data(), owner.size(),
                                                           0) == static_cast<ssize_t>(owner.size()),
              path.string(), ": cannot be written: ", std::strerror(errno));
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

std::string lock_owner(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) {
    return "";
  }
  const bool taken = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0;
  const std::string owner = taken ? owner_of(descriptor) : "";
  ::close(descriptor);
  return owner;
}

}  // namespace setun
