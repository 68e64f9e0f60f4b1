// Memory of a pretended device: blocks of powers of two from one reservation, mapped twice. Tensors
// have addresses that are locked except while something runs on the device; copies use the others.
// Freed blocks are kept by size, apart for each recording: what a recording's memory holds between
// its replays is its own affair.
#pragma once

#include <c10/core/Allocator.h>

#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace setun::test {

class Arena {
 public:
  Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Where the host may reach a block at any time.
  void* unlocked(const void* block) const {
    return open_ + (static_cast<const char*>(block) - base_);
  }
  // New memory holds 0xFF: NaN, so that nothing passes by being zero.
  c10::DataPtr allocate(std::size_t bytes, c10::Device device);

  // Unlocked between the two, which nest.
  void open();
  void close();

  // Memory comes from a pool of the recording's own until end_recording(); its number.
  int begin_recording();
  // All is again as begin_recording() found it, and the recording's memory holds 0xFF: nothing ran.
  void end_recording();
  // The recording is gone: its memory is anybody's.
  void retire(int pool);

 private:
  struct Block;
  void* take(std::size_t size);
  void give_back(const Block& block);
  void move_free_blocks(int from, int to);
  void protect(int access);

  static constexpr std::size_t kReserved = std::size_t{1} << 30;
  char *base_ = nullptr, *open_ = nullptr;
  std::size_t used_ = 0;
  int opened_ = 0;
  int pool_ = 0, last_pool_ = 0;  // 0: the common one
  std::vector<char> before_recording_;
  std::set<int> retired_;
  std::map<std::pair<int, std::size_t>, std::vector<void*>> free_;  // by pool and size
  std::mutex mutex_;
};

Arena& arena();

struct Opened {
  Opened() { arena().open(); }
  ~Opened() { arena().close(); }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
};

}  // namespace setun::test
