// What ASan and TSan must be told about fibers. The runtime itself is compiled without
// -fsanitize, but with CUEMU_ASAN or CUEMU_TSAN; without either all of this is empty.
#pragma once

#include <cstddef>

#if defined(CUEMU_ASAN)
extern "C" {
void __sanitizer_start_switch_fiber(void** save, const void* bottom, size_t size);
void __sanitizer_finish_switch_fiber(void* save, const void** bottom, size_t* size);
void __asan_poison_memory_region(const volatile void* p, size_t bytes);
void __asan_unpoison_memory_region(const volatile void* p, size_t bytes);
}
#endif
#if defined(CUEMU_TSAN)
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);  // flag 1: no happens-before edge
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}
#endif

namespace cuemu {

// Happens-before edges of barriers, __syncwarp and fences: every release is seen by later acquires.
inline void acquire([[maybe_unused]] void* token) {
#if defined(CUEMU_TSAN)
  __tsan_acquire(token);
#endif
}
inline void release([[maybe_unused]] void* token) {
#if defined(CUEMU_TSAN)
  __tsan_release(token);
#endif
}

// The scheduler's own containers are not the kernel's memory.
struct Quiet {
#if defined(CUEMU_TSAN)
  Quiet() {
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  }
  ~Quiet() {
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  }
#else
  Quiet() {}
  ~Quiet() {}
#endif
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

inline void poison([[maybe_unused]] void* p, [[maybe_unused]] size_t bytes) {
#if defined(CUEMU_ASAN)
  __asan_poison_memory_region(p, bytes);
#endif
}
inline void unpoison([[maybe_unused]] void* p, [[maybe_unused]] size_t bytes) {
#if defined(CUEMU_ASAN)
  __asan_unpoison_memory_region(p, bytes);
#endif
}

}  // namespace cuemu
