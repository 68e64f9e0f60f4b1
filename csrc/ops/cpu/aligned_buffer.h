// Scratch memory of a thread that begins on a cache line, so that no vector of it crosses two.
// Contents are not kept when it grows.
#pragma once

#include <cstdint>
#include <memory>
#include <new>

namespace setun::ops::cpu {

template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(int64_t count) { grow(count); }
  void grow(int64_t count) {
    if (count > count_) {
      void* memory = ::operator new(static_cast<std::size_t>(count) * sizeof(T), kLine);
      data_.reset(static_cast<T*>(memory));
      count_ = count;
    }
  }
  T* data() const { return data_.get(); }

 private:
  static constexpr std::align_val_t kLine{64};
  struct Free {
    void operator()(T* memory) const { ::operator delete(memory, kLine); }
  };
  std::unique_ptr<T, Free> data_;
  int64_t count_ = 0;
};

}  // namespace setun::ops::cpu
