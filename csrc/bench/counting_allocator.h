// Counts the bytes LibTorch holds on the CPU, now and at most: exact, where the resident set size
// is noisy.
#pragma once

#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <mutex>
#include <unordered_map>

namespace setun::bench {

class CountingAllocator : public c10::Allocator {
 public:
  // Installs the counter for the life of the program, in front of the allocator in use.
  static CountingAllocator& instance() {
    static auto* counter = [] {
      auto* made = new CountingAllocator(c10::GetCPUAllocator());
      c10::SetCPUAllocator(made, /*priority=*/255);
      return made;
    }();
    return *counter;
  }

  // Context and address are one, as raw allocations want it.
  c10::DataPtr allocate(size_t bytes) override {
    c10::DataPtr data = base_->allocate(bytes);
    const int64_t now = live_ += static_cast<int64_t>(bytes);
    int64_t peak = peak_;
    while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
    }
    void* address = data.get();
    const c10::Device device = data.device();
    if (address != nullptr) {
      const std::lock_guard lock(mutex_);
      blocks_[address] = {std::move(data), bytes};
    }
    return {address, address, &release, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    base_->copy_data(to, from, bytes);
  }

  int64_t live() const { return live_; }
  // The highest count since the last call, which also starts the next measurement.
  int64_t take_peak() { return peak_.exchange(live_); }

 private:
  struct Block {
    c10::DataPtr data;
    size_t bytes = 0;
  };
  explicit CountingAllocator(c10::Allocator* base) : base_(base) {}
  static void release(void* address) {
    CountingAllocator& self = instance();
    Block block;
    {
      const std::lock_guard lock(self.mutex_);
      const auto found = self.blocks_.find(address);
      if (found == self.blocks_.end()) {
        return;  // of no bytes
      }
      block = std::move(found->second);
      self.blocks_.erase(found);
    }
    self.live_ -= static_cast<int64_t>(block.bytes);
  }

  c10::Allocator* base_;
  std::mutex mutex_;
  std::unordered_map<void*, Block> blocks_;
  std::atomic<int64_t> live_{0}, peak_{0};
};

}  // namespace setun::bench
