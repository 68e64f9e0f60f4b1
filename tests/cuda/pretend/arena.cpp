#include "cuda/pretend/arena.h"

#include <c10/util/Exception.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>

namespace setun::test {
namespace {

char* map(int file, std::size_t bytes, int access) {
  void* memory = mmap(nullptr, bytes, access, MAP_SHARED | MAP_NORESERVE, file, 0);
  TORCH_CHECK(memory != MAP_FAILED, "no addresses for the pretended device");
  return static_cast<char*>(memory);
}

std::size_t block_size(std::size_t bytes) {
  std::size_t size = 256;
  while (size < bytes) {
    size *= 2;
  }
  return size;
}

}  // namespace

struct Arena::Block {
  void* data;
  std::size_t size;
  int pool;
};

Arena::Arena() {
  const int file = memfd_create("pretended device", 0);
  TORCH_CHECK(file >= 0 && ftruncate(file, kReserved) == 0, "no memory for the pretended device");
  base_ = map(file, kReserved, PROT_NONE);
  open_ = map(file, kReserved, PROT_READ | PROT_WRITE);
  ::close(file);
}

c10::DataPtr Arena::allocate(std::size_t bytes, c10::Device device) {
  const std::lock_guard lock(mutex_);
  auto* block = new Block{bytes == 0 ? nullptr : take(block_size(bytes)), block_size(bytes), pool_};
  if (block->data != nullptr) {
    std::memset(unlocked(block->data), 0xFF, bytes);
  }
  const auto free = [](void* context) {
    const std::unique_ptr<Block> freed(static_cast<Block*>(context));
    arena().give_back(*freed);
  };
  return {block->data, block, free, device};
}

void* Arena::take(std::size_t size) {
  std::vector<void*>& free = free_[{pool_, size}];
  if (!free.empty()) {
    void* block = free.back();
    free.pop_back();
    return block;
  }
  TORCH_CHECK(used_ + size <= kReserved, "the pretended device is out of memory");
  used_ += size;
  if (opened_ > 0) {
    protect(PROT_READ | PROT_WRITE);
  }
  return base_ + used_ - size;
}

void Arena::give_back(const Block& block) {
  const std::lock_guard lock(mutex_);
  if (block.data != nullptr) {
    const int pool = retired_.count(block.pool) > 0 ? 0 : block.pool;
    free_[{pool, block.size}].push_back(block.data);
  }
}

void Arena::open() {
  const std::lock_guard lock(mutex_);
  if (opened_++ == 0) {
    protect(PROT_READ | PROT_WRITE);
  }
}

void Arena::close() {
  const std::lock_guard lock(mutex_);
  if (--opened_ == 0) {
    protect(PROT_NONE);
  }
}

void Arena::protect(int access) {
  TORCH_CHECK(mprotect(base_, (used_ + 4095) & ~std::size_t{4095}, access) == 0, "mprotect failed");
}

int Arena::begin_recording() {
  const std::lock_guard lock(mutex_);
  pool_ = ++last_pool_;
  move_free_blocks(
      0, pool_);  // the lock's cost grows with the memory in use: rather these than new ones
  for (const auto& [key, blocks] : free_) {
    for (void* block : blocks) {
      if (key.first == pool_) {
        std::memset(unlocked(block), 0xFF, key.second);
      }
    }
  }
  before_recording_.assign(open_, open_ + used_);
  return pool_;
}

void Arena::end_recording() {
  const std::lock_guard lock(mutex_);
  pool_ = 0;
  std::memcpy(open_, before_recording_.data(), before_recording_.size());
  std::memset(open_ + before_recording_.size(), 0xFF, used_ - before_recording_.size());
  before_recording_ = {};
}

void Arena::retire(int pool) {
  const std::lock_guard lock(mutex_);
  retired_.insert(pool);
  move_free_blocks(pool, 0);
}

void Arena::move_free_blocks(int from, int to) {
  std::vector<std::pair<std::size_t, std::vector<void*>>> moved;
  for (auto it = free_.lower_bound({from, 0}); it != free_.end() && it->first.first == from;) {
    moved.emplace_back(it->first.second, std::move(it->second));
    it = free_.erase(it);
  }
  for (const auto& [size, blocks] : moved) {
    std::vector<void*>& others = free_[{to, size}];
    others.insert(others.end(), blocks.begin(), blocks.end());
  }
}

Arena& arena() {
  static Arena& one = *new Arena;  // outlives every tensor
  return one;
}

}  // namespace setun::test
