// Files the way a run that may be killed needs them: whole-file reads with clear errors, writes
// that are atomic and durable (temporary file in the same folder, fsync, rename, fsync of the
// folder), and a read-only memory map. A fault point between those steps can be armed by tests
// (arm_fault_point), which then kills the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace setun {

namespace fs = std::filesystem;

// The whole file; throws Error naming the path and the reason.
std::string read_file(const fs::path& path);

// Replaces `path` by `content` so that after a crash at any moment the old or the new file is
// there, whole.
void write_file_atomic(const fs::path& path, std::string_view content);

// Removes what write_file_atomic left in `folder` when its process was killed ("<name>.tmp-<process
// id>"). Only for a folder that no other process writes to.
void remove_temporaries(const fs::path& folder);

// Flushes a file / a folder to the disk; throws Error (with "No space left on device" when that is
// the reason).
void fsync_path(const fs::path& path);

// Named places at which tests can make the process die by SIGKILL (see tests/kill_test). Free when
// not armed.
void fault_point(std::string_view name);
void arm_fault_point(std::string name,
                     int64_t after);  // dies at the `after`-th pass (1 = the first)

// A read-only memory map of a whole file. Movable; the bytes live as long as the object.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const fs::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::size_t size() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// An exclusive advisory lock on a file that holds the owner's process id. Throws Error naming that
// process when taken; `folder_key` is the key that names another folder, for the message.
class FileLock {
 public:
  explicit FileLock(const fs::path& path, const std::string& folder_key = "run.output");
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_ = -1;
};

// The process id in a lock file that a process holds; "" when the lock is free or not there.
std::string lock_owner(const fs::path& path);

// CRC-32C (Castagnoli) of `bytes`, continuing from `seed`: shard checksums and TensorBoard records.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t seed = 0);

}  // namespace setun
