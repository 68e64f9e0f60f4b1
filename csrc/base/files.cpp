#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace setun {
namespace {

std::string reason() { return std::strerror(errno); }

// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, mode_t mode = 0644)
      : value_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
    if (value_ < 0) {
      fail(path.string(), ": cannot be opened: ", reason());
    }
  }
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

// The armed fault point: written once by tests before any thread starts.
struct FaultPoint {
  std::string name;
  std::atomic<int64_t> left{0};
};
FaultPoint& armed() {
  static FaultPoint point;
  return point;
}

}  // namespace

std::string read_file(const fs::path& path) {
  const Descriptor file(path, O_RDONLY);
  struct stat info {};
  SETUN_CHECK(::fstat(file.get(), &info) == 0, path.string(), ": cannot be read: ", reason());
  SETUN_CHECK(!S_ISDIR(info.st_mode), path.string(), ": is a folder, expected a file");
  std::string content;
  content.reserve(static_cast<std::size_t>(info.st_size));
  char chunk[1 << 16];
  while (true) {
    const ssize_t got = ::read(file.get(), chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    SETUN_CHECK(got >= 0, path.string(), ": cannot be read: ", reason());
    if (got == 0) {
      return content;
    }
    content.append(chunk, static_cast<std::size_t>(got));
  }
}

void fsync_path(const fs::path& path) {
  const Descriptor file(path, O_RDONLY);
  SETUN_CHECK(::fsync(file.get()) == 0, path.string(), ": cannot be flushed: ", reason());
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  const fs::path temporary = path.string() + ".tmp-" + std::to_string(::getpid());
  try {
    const Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    for (std::size_t done = 0; done < content.size();) {
      const ssize_t put = ::write(file.get(), content.data() + done, content.size() - done);
      if (put < 0 && errno == EINTR) {
        continue;
      }
      SETUN_CHECK(put >= 0, path.string(), ": cannot be written: ", reason());
      done += static_cast<std::size_t>(put);
    }
    SETUN_CHECK(::fsync(file.get()) == 0, path.string(), ": cannot be flushed: ", reason());
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  fault_point("write_file.before_rename");
  SETUN_CHECK(::rename(temporary.c_str(), path.c_str()) == 0, path.string(),
              ": cannot be replaced: ", reason());
  fsync_path(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

void remove_temporaries(const fs::path& folder) {
  constexpr std::string_view kMark = ".tmp-";
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const std::size_t mark = name.rfind(kMark);
    if (entry.is_regular_file() && mark != std::string::npos && name.size() > mark + kMark.size() &&
        name.find_first_not_of("0123456789", mark + kMark.size()) == std::string::npos) {
      fs::remove(entry.path());
    }
  }
}

void fault_point(std::string_view name) {
  FaultPoint& point = armed();
  if (point.left.load(std::memory_order_relaxed) > 0 && point.name == name &&
      point.left.fetch_sub(1) == 1) {
    ::kill(::getpid(), SIGKILL);
  }
}

void arm_fault_point(std::string name, int64_t after) {
  armed().name = std::move(name);
  armed().left = after;
}

MappedFile::MappedFile(const fs::path& path) {
  const Descriptor file(path, O_RDONLY);
  struct stat info {};
  SETUN_CHECK(::fstat(file.get(), &info) == 0, path.string(), ": cannot be read: ", reason());
  SETUN_CHECK(S_ISREG(info.st_mode), path.string(), ": is not a regular file");
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ == 0) {
    return;  // mmap refuses empty files; an empty span says the same
  }
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  SETUN_CHECK(address != MAP_FAILED, path.string(), ": cannot be mapped: ", reason());
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) {
    ::munmap(const_cast<std::byte*>(data_), size_);
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace setun
